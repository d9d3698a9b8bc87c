/** Knows which methods a path has, for the answer to one that it has not. Only looked at when no route matched. */
export class RouteTable {
  readonly #methods = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>()

  add(method: string | readonly string[], template: string): void {
    const known = this.#methods.get(template) ?? { pattern: patternOf(template), methods: new Set<string>() }
    for (const each of [method].flat()) known.methods.add(each)
    this.#methods.set(template, known)
  }

  /** Of a request's URL; empty when nothing is there. */
  methodsOf(url: string): string[] {
    const [path = ''] = url.split('?', 1)
    const found = [...this.#methods.values()].filter(({ pattern }) => pattern.test(path))
    if (found.length === 0) return []
    return [...new Set([...found.flatMap(({ methods }) => [...methods]), 'OPTIONS'])].toSorted()
  }
}

function patternOf(template: string): RegExp {
  const parts = template.split('/').map((part) => {
    if (part.startsWith(':')) return '[^/]+'
    return part === '*' ? '.*' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('/')}$`)
}
