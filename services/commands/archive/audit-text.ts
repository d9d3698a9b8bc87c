import Table from 'cli-table3'
import type { AuditReport } from '../../exporter/audit/audit.ts'
import type { AuditFinding, PartitionReport } from '../../exporter/audit/finding.ts'
import { format } from '../progress.ts'

const HEAD = [
  'partition',
  'ranges',
  'events',
  'bytes',
  'gaps',
  'overlaps',
  'damaged',
  'missing',
  'foreign',
  'warehouse',
]

/** What the warehouse lacks (-) and has too many (+), then what need not be there. */
function warehouseText({ warehouse }: PartitionReport): string {
  const { compared, missing, extra, erased, rejected, notLoaded } = warehouse
  const notes = [
    missing > 0 || extra > 0 ? `-${format(missing)} +${format(extra)}` : compared > 0 ? 'same' : '-',
    erased > 0 ? `${format(erased)} erased` : '',
    rejected > 0 ? `${format(rejected)} rejected` : '',
    notLoaded > 0 ? `${format(notLoaded)} not loaded yet` : '',
  ]
  return notes.filter((note) => note !== '').join(', ')
}

export function auditTable({ partitions, foreignElsewhere }: AuditReport): string {
  const table = new Table({ head: HEAD, style: { head: [], border: [], compact: true } })
  for (const report of partitions) {
    const { epoch, partition, ranges, events, bytes, gaps, overlaps, damaged, missing, foreign } = report
    const counts = [ranges, events, bytes, gaps, overlaps, damaged, missing, foreign].map(format)
    table.push([`${epoch}/${partition}`, ...counts, warehouseText(report)])
  }
  if (foreignElsewhere > 0) table.push(['elsewhere', '', '', '', '', '', '', '', format(foreignElsewhere), ''])
  return table.toString()
}

export function findingLines({ level, kind, key, says, todo }: AuditFinding): string {
  const line = `${level === 'problem' ? 'PROBLEM' : 'note   '}  ${kind} ${key}\n         ${says}`
  return todo === undefined ? line : `${line}\n         -> ${todo}`
}
