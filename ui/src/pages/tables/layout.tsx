import { useSuspenseQuery } from '@tanstack/react-query';
import { tableFiles, tableSnapshots } from '@/api/queries';
import type { TableFile } from '@/api/types';
import { DataTable } from '@/components/data-table';
import { Ago, Bytes, CopyButton, Num } from '@/components/parts';
import { Status } from '@/components/status';
import * as format from '@/lib/format';

/** What the words of Iceberg mean. */
const OPERATIONS: Record<string, string> = {
  append: 'Rows were added',
  overwrite: 'Rows were added and others deleted',
  delete: 'Rows were deleted',
  replace: 'Upkeep wrote files anew; the rows are the same',
};

/** Every state the table can be read at, newest first. */
export function Snapshots({ layer, name }: { layer: string; name: string }) {
  const { data } = useSuspenseQuery(tableSnapshots(layer, name));
  return (
    <DataTable
      label="Snapshots"
      rows={data}
      id={(snapshot) => snapshot.id}
      nothing="No snapshots yet: nothing was committed."
      columns={[
        { id: 'at_us', header: 'When', accessorKey: 'at_us', cell: ({ row }) => <Ago us={row.original.at_us} />, meta: { width: 104 } },
        {
          id: 'operation',
          header: 'Change',
          accessorKey: 'operation',
          cell: ({ row }) => (
            <span className="row" title={OPERATIONS[row.original.operation]}>
              {format.sentence(row.original.operation)} {row.original.current && <span className="tag" data-tone="accent">current</span>}
            </span>
          ),
          meta: { width: 150 },
        },
        { id: 'added_rows', header: 'Rows added', accessorKey: 'added_rows', cell: ({ row }) => <Num value={row.original.added_rows} />, meta: { num: true, wide: true } },
        { id: 'deleted_rows', header: 'Deleted', accessorKey: 'deleted_rows', cell: ({ row }) => <Num value={row.original.deleted_rows} />, meta: { num: true, wide: true } },
        { id: 'added_files', header: 'Files', accessorKey: 'added_files', cell: ({ row }) => <Num value={row.original.added_files} />, meta: { num: true, wide: true } },
        { id: 'added_bytes', header: 'Size', accessorKey: 'added_bytes', cell: ({ row }) => <Bytes value={row.original.added_bytes} />, meta: { num: true, wide: true } },
        { id: 'total_rows', header: 'Rows after', accessorKey: 'total_rows', cell: ({ row }) => <Num value={row.original.total_rows} />, meta: { num: true } },
        { id: 'cursor', header: 'Stands at', accessorFn: (row) => row.cursor ?? '', cell: ({ row }) => <span className="mono muted">{row.original.cursor ?? format.NONE}</span>, meta: { wide: true, width: 150 } },
        { id: 'id', header: 'Id', accessorKey: 'id', cell: ({ row }) => <span className="mono faint">{row.original.id}</span>, meta: { wide: true, width: 170 } },
      ]}
    />
  );
}

/** Files of this size or more need no compaction. */
const SMALL_BYTES = 16_000_000;

/** `seen_day 2026-01-01, id_bucket_2 0`; empty for a file in no partition. */
function partitionWords(partition: string | null | undefined): string {
  if (!partition) return '';
  const fields = Object.entries(JSON.parse(partition) as Record<string, unknown>);
  return fields.map(([name, value]) => `${name} ${value === null ? 'null' : String(value)}`).join(', ');
}

/** The live files, and what their sizes say about the layout. */
export function Files({ layer, name }: { layer: string; name: string }) {
  const { data } = useSuspenseQuery(tableFiles(layer, name));
  const live = data.filter((file) => file.content === 'data');
  const bytes = live.reduce((sum, file) => sum + file.bytes, 0);
  const small = live.filter((file) => file.bytes < SMALL_BYTES).length;
  const hidden = live.reduce((sum, file) => sum + file.deleted_rows, 0);
  const rows = live.reduce((sum, file) => sum + file.rows, 0);
  return (
    <>
      {live.length > 0 && (
        <p className="muted" style={{ marginBottom: 8 }}>
          {format.count(live.length, 'data file')}, {format.bytes(bytes / live.length)} on average, {format.number(small)} under {format.bytes(SMALL_BYTES)}
          {hidden > 0 && `; deletes hide ${format.percent(hidden / rows)} of the rows`}.
        </p>
      )}
      <DataTable
        label="Files"
        rows={data}
        // Several deletion vectors are in one file.
        id={(file, index) => (file.content === 'deletion vector' ? `${file.path} ${index}` : file.path)}
        nothing="No files yet: nothing was committed."
        columns={[
          {
            id: 'path',
            header: 'File',
            accessorKey: 'path',
            cell: ({ row }) => (
              <span className="row">
                <span className="mono clip" title={row.original.path}>
                  {row.original.path.split('/').slice(-1)[0]}
                </span>
                <CopyButton text={row.original.path} label="Copy the path" />
              </span>
            ),
          },
          ...(data.some((file) => file.partition)
            ? [
                {
                  id: 'partition',
                  header: 'Partition',
                  accessorFn: (file: TableFile) => partitionWords(file.partition),
                  cell: ({ row }: { row: { original: TableFile } }) => (
                    <span className="mono muted clip" title={partitionWords(row.original.partition)}>
                      {partitionWords(row.original.partition)}
                    </span>
                  ),
                  meta: { width: '28%', wide: true },
                },
              ]
            : []),
          { id: 'content', header: 'Holds', accessorKey: 'content', cell: ({ row }) => (row.original.content === 'data' ? 'Data' : <Status state="info" word="Deletes" />), meta: { width: 100, wide: true } },
          { id: 'rows', header: 'Rows', accessorKey: 'rows', cell: ({ row }) => <Num value={row.original.rows} />, meta: { num: true, width: 90 } },
          { id: 'deleted_rows', header: 'Hidden', accessorKey: 'deleted_rows', cell: ({ row }) => <Num value={row.original.deleted_rows} />, meta: { num: true, width: 90, wide: true } },
          { id: 'bytes', header: 'Size', accessorKey: 'bytes', cell: ({ row }) => <Bytes value={row.original.bytes} />, meta: { num: true, width: 90 } },
          { id: 'sequence', header: 'Sequence', accessorKey: 'sequence', meta: { num: true, width: 100, wide: true } },
        ]}
      />
    </>
  );
}
