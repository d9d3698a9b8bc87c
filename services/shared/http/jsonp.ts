/** Nothing but a name or a dotted path of names may become script. */
const FUNCTION_NAME = /^[A-Za-z_$][\w$.]{0,127}$/

/** `fn` when it may be called by a script, else undefined. */
export const jsonpFunction = (fn: string | undefined): string | undefined =>
  fn !== undefined && FUNCTION_NAME.test(fn) ? fn : undefined

/** The script that hands `json` to a function. The two separators were line ends in scripts before 2019. */
export const jsonpScript = (fn: string, json: string): string =>
  `${fn}(${json.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')})`
