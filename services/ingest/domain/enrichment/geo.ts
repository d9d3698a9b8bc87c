import type { JsonObject } from '../json-object.ts'

/** A part of the record of a city or country database, as MaxMind and DB-IP shape theirs; the smallest have a code alone. */
export interface GeoRecord {
  readonly country_code?: unknown
  readonly city?: Named
  readonly country?: Named & { readonly iso_code?: unknown }
  readonly continent?: Named
  readonly subdivisions?: readonly Named[]
  readonly postal?: { readonly code?: unknown }
  readonly location?: { readonly latitude?: unknown; readonly longitude?: unknown }
}
interface Named {
  readonly names?: Readonly<Record<string, unknown>>
}

const CODE = /^[A-Z]{2}$/

/** What is stored of a place: every property, null where the database does not say. Undefined when it says nothing. */
export function placeOf(record: GeoRecord, countryName: (code: string) => string | undefined): JsonObject | undefined {
  const code = textOf(record.country?.iso_code) ?? textOf(record.country_code)
  const country = textOf(record.country?.names?.['en']) ?? (code !== null && CODE.test(code) ? countryName(code) : null)
  const place = {
    city: textOf(record.city?.names?.['en']),
    province: textOf(record.subdivisions?.[0]?.names?.['en']),
    country: country ?? null,
    country_code: code,
    continent: textOf(record.continent?.names?.['en']),
    postal_code: textOf(record.postal?.code),
    coordinates: coordinatesOf(record),
  }
  return Object.values(place).every((value) => value === null) ? undefined : place
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

function coordinatesOf({ location }: GeoRecord): readonly [number, number] | null {
  const { longitude, latitude } = location ?? {}
  return typeof longitude === 'number' && typeof latitude === 'number' ? [longitude, latitude] : null
}
