/**
 * Metres between two points on the sphere as the warehouse's greatCircleDistance gives them: a flat map for points that
 * are near in longitude, haversine by interpolated tables for others. It is up to some parts in a thousand off the true
 * distance, and a filter must be off by the same, or one event would be inside for a query and outside for a live tail.
 */
export function warehouseDistance(
  longitudeA: number,
  latitudeA: number,
  longitudeB: number,
  latitudeB: number,
): number {
  const byLatitude = degreesApart(latitudeA, latitudeB)
  const byLongitude = degreesApart(longitudeA, longitudeB)
  if (byLongitude < FLAT_DEGREES) {
    const at = ((latitudeA + latitudeB + 180) * STEPS) / 360
    const i = Math.trunc(at) & (STEPS - 1)
    const perDegree = between(METRES_PER_LONGITUDE_SQUARED, i, at - i)
    return Math.sqrt(METRES_PER_DEGREE ** 2 * byLatitude ** 2 + perDegree * byLongitude ** 2)
  }
  const halfChordSquared =
    sine((byLatitude * Math.PI) / 360) ** 2 +
    cosine((latitudeA * Math.PI) / 180) * cosine((latitudeB * Math.PI) / 180) * sine((byLongitude * Math.PI) / 360) ** 2
  return 2 * RADIUS_M * arcsineOfRoot(halfChordSquared)
}

/** Of the sphere with the surface of the WGS-84 ellipsoid. */
const RADIUS_M = 6_371_007.180_918_475
const METRES_PER_DEGREE = (RADIUS_M * Math.PI) / 180
const FLAT_DEGREES = 13

const STEPS = 1_024
const ROOT_STEPS = 512
const tableOf = (steps: number, value: (i: number) => number): Float64Array =>
  Float64Array.from({ length: steps + 1 }, (_, i) => value(i))

const COSINES = tableOf(STEPS, (i) => Math.cos((2 * Math.PI * i) / STEPS))
const ARCSINES_OF_ROOTS = tableOf(ROOT_STEPS, (i) => Math.asin(Math.sqrt(i / ROOT_STEPS)))
/** From pole to pole. */
const METRES_PER_LONGITUDE_SQUARED = tableOf(
  STEPS,
  (i) => (METRES_PER_DEGREE * Math.cos((i * Math.PI) / STEPS - Math.PI / 2)) ** 2,
)

/** What lies between an entry and the next one, `share` of the way. */
function between(table: Float64Array, i: number, share: number): number {
  const [first = Number.NaN, second = Number.NaN] = table.subarray(i, i + 2)
  return first + (second - first) * share
}

function degreesApart(a: number, b: number): number {
  const degrees = Math.abs(a - b)
  return degrees > 180 ? 360 - degrees : degrees
}

const stepsOf = (radians: number): number => Math.abs(radians) * (STEPS / Math.PI / 2)

const QUARTER = STEPS / 4

function cosine(radians: number): number {
  const at = stepsOf(radians)
  const i = Math.trunc(at)
  return between(COSINES, i & (STEPS - 1), at - i)
}

function sine(radians: number): number {
  const at = stepsOf(radians)
  const i = Math.trunc(at)
  return between(COSINES, (i - QUARTER) & (STEPS - 1), at - i)
}

function arcsineOfRoot(x: number): number {
  if (x < 0.122) {
    const y = Math.sqrt(x)
    return y + x * y * 0.166666666666666 + x * x * y * 0.075 + x * x * x * y * 0.044642857142857
  }
  if (x >= 0.948) return Math.asin(Math.sqrt(x))
  const at = x * ROOT_STEPS
  const i = Math.trunc(at)
  return between(ARCSINES_OF_ROOTS, i, at - i)
}
