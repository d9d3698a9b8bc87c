import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { fromIni, fromTemporaryCredentials } from '@aws-sdk/credential-providers'
import type { S3Credentials, S3Settings } from './settings.ts'

const CONNECT_MS = 5_000
/** Without a byte in either direction. */
const SILENCE_MS = 30_000
const ATTEMPTS = 3

function signAs(credentials: S3Credentials, region: string): Pick<S3ClientConfig, 'credentials'> {
  switch (credentials.kind) {
    case 'ambient':
      return {}
    case 'profile':
      return { credentials: fromIni({ profile: credentials.profile }) }
    case 'role': {
      const { roleArn, externalId } = credentials
      const params = { RoleArn: roleArn, RoleSessionName: 'tributary', ...(externalId && { ExternalId: externalId }) }
      return { credentials: fromTemporaryCredentials({ params, clientConfig: { region } }) }
    }
    case 'static': {
      const { accessKeyId, secretAccessKey, sessionToken } = credentials
      return { credentials: { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) } }
    }
    default:
      return credentials satisfies never
  }
}

export const createS3Client = ({ region, endpoint, pathStyle, credentials }: S3Settings): S3Client =>
  new S3Client({
    region,
    ...(endpoint !== undefined && { endpoint }),
    forcePathStyle: pathStyle,
    maxAttempts: ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS, requestTimeout: 10 * SILENCE_MS },
    ...signAs(credentials, region),
  })
