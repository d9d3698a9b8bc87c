/** What one statement may have; beyond it the caller is told which of these it is. */
export const BOUNDS = {
  textBytes: 65_536,
  tokens: 20_000,
  /** Expressions and subqueries inside each other. */
  depth: 60,
  /** Tables and subqueries, those inside a CTE again for each time that it is named. */
  tables: 32,
  columns: 500,
  pathNames: 50,
  parameters: 100,
  parameterElements: 10_000,
  /** Of all constants and parameters together: they may have to stand in an address, in which a byte can take three. */
  valuesBytes: 200_000,
  /** Of what is sent to the warehouse. */
  generatedBytes: 240_000,
} as const
