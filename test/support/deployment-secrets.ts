/** Credentials of a deployment that only tests use. */
export const DEPLOYMENT = {
  organizationId: '5f0000000000000000000001',
  organizationKey: 'A1'.repeat(32),
  secret: 'a deployment secret that only tests use, 0123456789',
} as const
