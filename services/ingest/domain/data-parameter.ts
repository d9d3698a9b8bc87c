const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

/**
 * The bytes of the parameter `data` as clients write it: base64 of the standard or the URL alphabet, padded or not,
 * with pluses that became spaces on the way, percent-encoded once too often. Undefined when it is not base64.
 */
export function decodeData(data: string): Buffer | undefined {
  const text = (data.includes('%') ? percentDecoded(data) : data)?.replaceAll(' ', '+').replaceAll(/[\r\n]/g, '')
  if (text === undefined || !BASE64.test(text)) return undefined
  const characters = text.replace(/=+$/, '').length
  return characters % 4 === 1 ? undefined : Buffer.from(text, 'base64')
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
