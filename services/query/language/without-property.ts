import type { Binder } from './bind.ts'

/** The type of the column `properties`. */
const PROPERTIES_TYPE = 'JSON(max_dynamic_paths = 64)'

/** SQL that is true in rows whose JSON text has something at this path. */
export function hasPath(segments: readonly string[], binder: Binder): string {
  return `JSONHas(body, ${segments.map((name) => binder.bind(name, 'String')).join(', ')})`
}

/**
 * SQL of `body` and of `properties` without what stands at this path and below it. The text is written anew level by
 * level; numbers of more than 17 digits that are not whole keep those that a double has.
 */
export function withoutPath(
  segments: readonly string[],
  binder: Binder,
): { readonly body: string; readonly properties: string } {
  const names = segments.map((name) => binder.bind(name, 'String'))
  const body = textWithout('body', names, 0)
  return { body, properties: `CAST(${body}, '${PROPERTIES_TYPE}')` }
}

function textWithout(text: string, [name = '', ...deeper]: readonly string[], depth: number): string {
  const pair = `kv${depth}`
  const pairs = `JSONExtractKeysAndValuesRaw(${text})`
  const value =
    deeper.length === 0
      ? `${pair}.2`
      : `if(${pair}.1 = ${name} AND startsWith(${pair}.2, '{'), ${textWithout(`${pair}.2`, deeper, depth + 1)}, ${pair}.2)`
  const kept = deeper.length === 0 ? `arrayFilter(${pair} -> ${pair}.1 != ${name}, ${pairs})` : pairs
  return `concat('{', arrayStringConcat(arrayMap(${pair} -> concat(toJSONString(${pair}.1), ':', ${value}), ${kept}), ','), '}')`
}
