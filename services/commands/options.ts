import { InvalidArgumentError } from 'commander'

/** For a commander option: a whole number from 1 to `max`. */
export const positiveInteger =
  (max: number) =>
  (text: string): number => {
    if (!/^\d{1,15}$/.test(text) || Number(text) < 1 || Number(text) > max) {
      throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`)
    }
    return Number(text)
  }

/** For a commander option: an http(s) URL, given back without a path or slash at its end. */
export function serverUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new InvalidArgumentError('It must be an http or https URL, such as http://127.0.0.1:8080.')
  }
  return new URL(text).origin
}
