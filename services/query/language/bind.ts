/** The parameters of one statement. A value enters SQL through here and nowhere else. */
export interface Binder {
  readonly params: Readonly<Record<string, unknown>>
  /** Keeps the value and gives the placeholder that stands for it. `type` is ClickHouse's. */
  bind(value: unknown, type: BoundType): string
}

export type BoundType =
  | 'String'
  | 'Float64'
  | 'Int64'
  | "DateTime64(3, 'UTC')"
  | 'Bool'
  | 'UInt32'
  | 'Array(String)'
  | 'Array(Float64)'
  | 'Array(Int64)'

export function createBinder(): Binder {
  const params: Record<string, unknown> = {}
  let count = 0
  return {
    params,
    bind(value, type) {
      const name = `p${count++}`
      params[name] = value
      return `{${name}:${type}}`
    },
  }
}
