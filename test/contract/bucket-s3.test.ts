import { bucketsMissing } from '../support/servers.ts'
import { describe } from 'vitest'
import { newS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { bucketContract } from './bucket.ts'

const missing = bucketsMissing()

describe.skipIf(missing !== undefined)(`on a real S3 server${missing === undefined ? '' : `: ${missing}`}`, () => {
  bucketContract(
    'S3',
    async () => newS3Bucket(),
    async () => s3BucketNamed('tributary-not-there'),
  )
})
