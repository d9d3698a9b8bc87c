import { describe } from 'vitest'
import { gcsBucketNamed, newGcsBucket } from '../support/buckets.ts'
import { bucketsMissing } from '../support/servers.ts'
import { bucketContract } from './bucket.ts'

const missing = bucketsMissing()

describe.skipIf(missing !== undefined)(`on a real GCS server${missing === undefined ? '' : `: ${missing}`}`, () => {
  bucketContract(
    'GCS',
    async () => newGcsBucket(),
    async () => gcsBucketNamed('tributary-not-there'),
  )
})
