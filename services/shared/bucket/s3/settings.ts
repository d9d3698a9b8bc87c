/** Who the requests are signed as. `ambient`: whoever this process is (environment, instance, pod). */
export type S3Credentials =
  | { readonly kind: 'ambient' }
  | { readonly kind: 'profile'; readonly profile: string }
  | { readonly kind: 'role'; readonly roleArn: string; readonly externalId: string | undefined }
  | {
      readonly kind: 'static'
      readonly accessKeyId: string
      readonly secretAccessKey: string
      readonly sessionToken: string | undefined
    }

/** Encryption by the server: with its own keys, or with one of a key service (the bucket's default key when unnamed). */
export type S3Encryption =
  | { readonly kind: 'AES256' }
  | { readonly kind: 'aws:kms'; readonly keyId: string | undefined }

export interface S3Settings {
  readonly bucket: string
  readonly region: string
  /** Of a service that speaks S3; undefined: Amazon's. */
  readonly endpoint: string | undefined
  /** `https://host/bucket/key` rather than `https://bucket.host/key`. */
  readonly pathStyle: boolean
  readonly credentials: S3Credentials
  readonly encryption: S3Encryption | undefined
  /** Larger objects go up in parts of this size, at least 5 MiB; two are in memory at a time. */
  readonly partBytes: number
  /** How often a request is sent before its call fails; 3 unless said. */
  readonly attempts?: number
  /** A connection without a byte in either direction for as long is given up; 30 s unless said. */
  readonly silenceMs?: number
}
