import { type Fault, quoted } from './fault.ts'

const CHARACTERS_MAX = 64

/** 1 to 64 ASCII characters, no line ends. Undefined when the name is good. */
export function collectionNameFault(name: string): Fault | undefined {
  if (name.length > 0 && name.length <= CHARACTERS_MAX && isOneLineAscii(name)) return undefined
  return {
    code: 'InvalidCollectionNameError',
    message: `Collection name is invalid. Must be <= ${CHARACTERS_MAX} characters, cannot be empty, cannot contain a newline or CR. It also cannot contain non-ascii characters. You specified: ${quoted(name)}.`,
  }
}

function isOneLineAscii(name: string): boolean {
  for (let i = 0; i < name.length; i += 1) {
    const code = name.charCodeAt(i)
    if (code > 0x7f || code === 0x0a || code === 0x0d) return false
  }
  return true
}
