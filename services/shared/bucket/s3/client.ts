import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { fromIni, fromTemporaryCredentials } from '@aws-sdk/credential-providers'
import type { S3Credentials, S3Settings } from './settings.ts'

const CONNECT_MS = 5_000
/** Unless the settings say otherwise. */
export const S3_SILENCE_MS = 30_000
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

export function createS3Client(settings: S3Settings): S3Client {
  const { region, endpoint, pathStyle, credentials, attempts = ATTEMPTS, silenceMs = S3_SILENCE_MS } = settings
  return new S3Client({
    region,
    ...(endpoint !== undefined && { endpoint }),
    forcePathStyle: pathStyle,
    maxAttempts: attempts,
    // No `requestTimeout`: for as long, the handler would also hold a large body back from a server that never says
    // that it may come, as some do, instead of sending it after six seconds.
    requestHandler: {
      connectionTimeout: Math.min(CONNECT_MS, silenceMs),
      socketTimeout: silenceMs,
    },
    ...signAs(credentials, region),
  })
}
