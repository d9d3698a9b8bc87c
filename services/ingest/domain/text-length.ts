/** Whether a text has more characters (Unicode code points) than `max`. Counts them only when their number is in doubt. */
export function isLongerThan(text: string, max: number): boolean {
  if (text.length <= max) return false
  return text.length > 2 * max || Array.from(text).length > max
}
