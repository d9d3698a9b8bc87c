import { hasCode } from '../../shared/errors.ts'
import type { AppError } from '../../shared/errors.ts'
import { type Position, sqlError } from '../language/sql/position.ts'
import { tokenize } from '../language/sql/tokens.ts'

/** What only the warehouse found, in our words: its own would show the statement that we wrote. */
const SENTENCES: Readonly<Record<string, string>> = {
  ILLEGAL_TYPE_OF_ARGUMENT: 'an argument has a type that does not fit here; a cast (price::Float64) may help',
  ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER: 'a condition must be true or false',
  ILLEGAL_COLUMN: 'an argument is not of the kind that is needed here: some have to be constants',
  NUMBER_OF_ARGUMENTS_DOESNT_MATCH: 'the number of arguments is wrong',
  TOO_MANY_ARGUMENTS_FOR_FUNCTION: 'there are too many arguments',
  TOO_FEW_ARGUMENTS_FOR_FUNCTION: 'there are too few arguments',
  TYPE_MISMATCH: 'two types do not fit together; a cast (price::Float64) may help',
  NO_COMMON_TYPE: 'values that have to be of one type are not; a cast (price::String) may help',
  CANNOT_CONVERT_TYPE: 'a value cannot be converted to the type',
  CANNOT_PARSE_TEXT: 'a text could not be read as the type that is wanted; a cast (name::Int64) gives null instead',
  CANNOT_PARSE_NUMBER: 'a text could not be read as a number; a cast (name::Int64) gives null instead',
  CANNOT_PARSE_INPUT_ASSERTION_FAILED:
    'a text could not be read as the type that is wanted; a cast (name::Int64) gives null instead',
  ATTEMPT_TO_READ_AFTER_EOF:
    'a text could not be read as the type that is wanted; a cast (name::Int64) gives null instead',
  CANNOT_PARSE_DATE: 'a text could not be read as a date; a cast (name::Int64) gives null instead',
  CANNOT_PARSE_DATETIME: 'a text could not be read as a time; a cast (name::Int64) gives null instead',
  CANNOT_PARSE_BOOL: 'a text could not be read as a boolean; a cast (name::Int64) gives null instead',
  CANNOT_PARSE_UUID: 'a text could not be read as a UUID; a cast (name::Int64) gives null instead',
  ILLEGAL_DIVISION: 'a division by zero',
  ZERO_ARRAY_OR_TUPLE_INDEX: 'an index counts from 1',
  CANNOT_COMPILE_REGEXP: 'a pattern is not valid RE2',
  INVALID_JOIN_ON_EXPRESSION: 'the condition of a join must compare columns of its two sides',
  AMBIGUOUS_IDENTIFIER: 'a name may mean several things',
  NOT_AN_AGGREGATE: 'a column must stand in GROUP BY or inside an aggregate',
  AGGREGATE_FUNCTION_THROW: 'an aggregate failed',
  UNION_ALL_RESULT_STRUCTURES_MISMATCH: 'both sides of a union must have the same columns',
  INTERSECT_OR_EXCEPT_RESULT_STRUCTURES_MISMATCH: 'both sides must have the same columns',
  SCALAR_SUBQUERY_RETURNED_MULTIPLE_ROWS: 'a subquery in an expression must give one row',
  INCORRECT_RESULT_OF_SCALAR_SUBQUERY: 'a subquery in an expression must give one row',
  ARGUMENT_OUT_OF_BOUND: 'an argument is out of its bounds',
  BAD_ARGUMENTS: 'the arguments do not fit',
  SIZES_OF_ARRAYS_DONT_MATCH: 'arrays have different lengths',
  TOO_LARGE_ARRAY_SIZE: 'an array becomes too large',
  TOO_LARGE_STRING_SIZE: 'a text becomes too long',
  DECIMAL_OVERFLOW: 'a number becomes too large',
  TOO_DEEP_AST: 'the query is nested too deeply',
  TOO_BIG_AST: 'the query is too large',
  TOO_DEEP_RECURSION: 'the query is nested too deeply',
  UNKNOWN_TYPE: 'a column of the result has a type that this format does not have',
  NOT_IMPLEMENTED: 'this is not supported',
  UNSUPPORTED_METHOD: 'this is not supported',
  SUPPORT_IS_DISABLED: 'this is not supported',
}

/** Signs and words that stand for functions. */
const SIGNS: Readonly<Record<string, string>> = {
  plus: '+', minus: '-', multiply: '*', divide: '/', modulo: '%', equals: '=', notequals: '!=', less: '<', greater: '>',
  lessorequals: '<=', greaterorequals: '>=', concat: '||', arrayelement: '[', in: 'IN', notin: 'IN', like: 'LIKE', notlike: 'LIKE',
  ilike: 'ILIKE', notilike: 'ILIKE', and: 'AND', or: 'OR', not: 'NOT', multiif: 'CASE', _cast: 'CAST',
} // biome-ignore format: a table

/** A refusal of the warehouse as InvalidSqlError, at the function that it is about where that can be told; others as they are. */
export function explainedSqlError(error: unknown, text: string): unknown {
  if (!hasCode(error, 'WAREHOUSE_REJECTED')) return error
  const { clickhouseType, clickhouseFunction } = error.details
  const sentence = SENTENCES[String(clickhouseType)] ?? 'the query cannot be run as it stands'
  const at = placeOf(clickhouseFunction, text)
  const refused: AppError = sqlError(sentence, at)
  refused.cause = error
  return refused
}

function placeOf(name: unknown, text: string): Position {
  const tokens = tokenize(text)
  const wanted = typeof name === 'string' ? name.toLowerCase() : undefined
  const is = (given: string): boolean =>
    wanted !== undefined && (given.toLowerCase() === wanted || given.toUpperCase() === SIGNS[wanted])
  const found = tokens.find((token) => (token.kind === 'word' || token.kind === 'symbol') && is(token.text))
  const { line, column } = found ?? tokens[0] ?? { line: 1, column: 1 }
  return { line, column }
}
