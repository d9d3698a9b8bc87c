/** Types that a caller may name, by their name in small letters. */
const NAMED: Readonly<Record<string, string>> = {
  string: 'String', text: 'String', varchar: 'String', char: 'String',
  float64: 'Float64', float: 'Float64', double: 'Float64', real: 'Float64', float32: 'Float32', numeric: 'Float64',
  int8: 'Int8', int16: 'Int16', int32: 'Int32', int64: 'Int64', int: 'Int32', integer: 'Int32', bigint: 'Int64',
  smallint: 'Int16', uint8: 'UInt8', uint16: 'UInt16', uint32: 'UInt32', uint64: 'UInt64',
  bool: 'Bool', boolean: 'Bool', date: 'Date32', date32: 'Date32',
  datetime: "DateTime64(3, 'UTC')", datetime64: "DateTime64(3, 'UTC')", timestamp: "DateTime64(3, 'UTC')",
  uuid: 'UUID',
} // biome-ignore format: a table

export interface SqlType {
  /** ClickHouse's, without Nullable. */
  readonly name: string
  readonly isArray: boolean
}

/** A scalar type, or `Array(…)` or `Nullable(…)` of one. Undefined for all others: a type is never passed on unread. */
export function typeNamed(text: string): SqlType | undefined {
  const [, wrapper, inner] = /^(nullable|array)\((.*)\)$/is.exec(text) ?? []
  if (wrapper === undefined || inner === undefined) {
    const key = text.toLowerCase()
    const name = Object.hasOwn(NAMED, key) ? NAMED[key] : undefined
    return name === undefined ? undefined : { name, isArray: false }
  }
  const of = typeNamed(inner)
  if (of === undefined || (of.isArray && wrapper.toLowerCase() === 'nullable')) return undefined
  return wrapper.toLowerCase() === 'array' ? (of.isArray ? undefined : { name: of.name, isArray: true }) : of
}

/** As it stands in a CAST: null stays null, and a list's elements may be null. */
export const castName = ({ name, isArray }: SqlType): string =>
  isArray ? `Array(Nullable(${name}))` : `Nullable(${name})`
