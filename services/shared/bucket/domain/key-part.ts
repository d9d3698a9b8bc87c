/** One part of a key made of any text: letters, digits, `-`, `_` and `.` stand, other bytes as %XX. Never empty, `.` or `..`. */
export function keyPart(text: string): string {
  const escaped = encodeURIComponent(text.toWellFormed()).replaceAll(
    /[!'()*~]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  if (escaped === '') return '%'
  return /^\.+$/.test(escaped) ? escaped.replaceAll('.', '%2E') : escaped
}
