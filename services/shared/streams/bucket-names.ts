/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const S3_NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const S3_RESERVED = /^(?:xn--|sthree-|amzn-s3-demo-)|(?:-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/
/** https://cloud.google.com/storage/docs/buckets#naming */
const GCS_NAME = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/
const GCS_RESERVED = /^goog|google|g00gle/
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/

/** Whether S3 would take it as a bucket's name. It cannot be an ARN, which the SDK would follow elsewhere. */
export const isS3BucketName = (name: string): boolean =>
  S3_NAME.test(name) && !name.includes('..') && !IPV4.test(name) && !S3_RESERVED.test(name)

/** Whether Cloud Storage would take it as a bucket's name. */
export const isGcsBucketName = (name: string): boolean =>
  GCS_NAME.test(name) &&
  !GCS_RESERVED.test(name) &&
  !IPV4.test(name) &&
  (name.includes('.') || name.length <= 63) &&
  name.split('.').every((part) => part !== '' && part.length <= 63)
