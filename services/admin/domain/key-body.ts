import { PERMISSIONS, type Permission } from '../../shared/registry/model.ts'
import type { KeyFields } from '../../shared/registry/types.ts'
import { requireArray, requireBoolean, requireObject, requireText, wrong } from './fields.ts'
import { parseKeyOptions } from './key-options.ts'

const NAME_CHARS_MAX = 256
const PERMITTED_MAX = 100
const PERMISSION_NAMES: ReadonlySet<string> = new Set(PERMISSIONS)

/**
 * A body that makes or replaces an access key: `name`, `is_active`, `permitted`, `options`. The four are the whole key: what
 * is missing or null is blank ('', no permission, no options). Other fields are ignored, since clients send a key back as
 * they got it. `isActiveDefault` is for a body without `is_active`. Throws 4xx errors that name the field.
 */
export function parseKeyBody(json: unknown, { isActiveDefault }: { readonly isActiveDefault: boolean }): KeyFields {
  const { name, is_active, permitted, options } = requireObject(json)
  return {
    name: requireText(name ?? '', 'name', NAME_CHARS_MAX),
    isActive: requireBoolean(is_active ?? isActiveDefault, 'is_active'),
    permitted: parsePermitted(permitted ?? []),
    options: parseKeyOptions(options ?? {}),
  }
}

function parsePermitted(value: unknown): readonly Permission[] {
  const names = requireArray(value, 'permitted', PERMITTED_MAX).map((name, i) => {
    if (!isPermission(name)) throw wrong(`permitted[${i}]`, `must be one of ${PERMISSIONS.join(', ')}`)
    return name
  })
  return [...new Set(names)]
}

const isPermission = (name: unknown): name is Permission => typeof name === 'string' && PERMISSION_NAMES.has(name)
