import { generateKeyPairSync } from 'node:crypto'

export const S3_SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
export const SESSION_TOKEN = 'FwoGZXIvYXdzEXAMPLETOKEN0123456789'

/** A service account's key, as Google hands it out in a file. */
export const PRIVATE_KEY = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
}).privateKey

export const S3_STATIC = {
  kind: 'static',
  access_key_id: 'AKIAIOSFODNN7EXAMPLE',
  secret_access_key: S3_SECRET,
} as const
export const S3_DESTINATION = { kind: 's3', bucket: 'lake', region: 'eu-central-1', credentials: S3_STATIC } as const
export const SERVICE_ACCOUNT = {
  type: 'service_account',
  project_id: 'p',
  private_key_id: 'abc',
  private_key: PRIVATE_KEY,
  client_email: 'writer@p.iam.gserviceaccount.com',
  client_id: '1',
  auth_uri: 'https://accounts.google.com/o/oauth2/auth',
  token_uri: 'https://evil.example/token',
  auth_provider_x509_cert_url: 'https://www.googleapis.com/oauth2/v1/certs',
  client_x509_cert_url: 'https://www.googleapis.com/robot/v1/metadata/x509/writer',
  universe_domain: 'evil.example',
} as const
export const GCS_DESTINATION = { kind: 'gcs', bucket: 'lake', credentials: SERVICE_ACCOUNT } as const
