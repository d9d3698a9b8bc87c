export interface GcsSettings {
  readonly bucket: string
  /** Of a service that speaks the JSON API; undefined: Google's. */
  readonly endpoint: string | undefined
  /** `ambient`: whoever this process is. `anonymous`: nobody, for emulators. */
  readonly credentials:
    | { readonly kind: 'ambient' }
    | { readonly kind: 'anonymous' }
    | { readonly kind: 'static'; readonly clientEmail: string; readonly privateKey: string }
  /** A key of Cloud KMS to encrypt with; undefined: the bucket's default. */
  readonly kmsKeyName: string | undefined
  /** Larger objects go up resumably, in chunks of this size. A multiple of 256 KiB. */
  readonly chunkBytes: number
  /** How often a request is sent before its call fails; 3 unless said. */
  readonly attempts?: number
  /** A connection without a byte in either direction for as long is given up; 30 s unless said. */
  readonly silenceMs?: number
  /** Before a request is sent again, doubled each time; 500 ms unless said. */
  readonly retryDelayMs?: number
}
