import { IconTable } from '@tabler/icons-react';
import { useSuspenseQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ColumnDef } from '@tanstack/react-table';
import { useMemo } from 'react';
import { tables } from '@/api/queries';
import type { TableSummary } from '@/api/types';
import { DataTable } from '@/components/data-table';
import { FilterBox } from '@/components/filter-box';
import { Ago, Bytes, Empty, Num, Page, TabBar } from '@/components/parts';
import { Status } from '@/components/status';
import * as format from '@/lib/format';
import { tableAt, writerOf } from '@/lib/places';
import { oneOf, text, useViewState } from '@/lib/view-state';

const LAYERS = ['all', 'bronze', 'silver', 'gold'] as const;

const COLUMNS: ColumnDef<TableSummary>[] = [
  {
    id: 'name',
    header: 'Name',
    accessorFn: (row) => `${row.layer}.${row.name}`,
    cell: ({ row: { original } }) => (
      <Link {...tableAt(original.layer, original.name)} className="name" title={`${original.layer}.${original.name}`}>
        <span className="faint">{original.layer}.</span>
        {original.name}
      </Link>
    ),
  },
  {
    id: 'state',
    header: 'State',
    accessorFn: (row) => row.error ?? '',
    cell: ({ row: { original } }) =>
      original.error ? (
        <span title={original.error}>
          <Status state="failed" />
        </span>
      ) : (
        <Status state="ok" />
      ),
    meta: { width: 88, wide: true },
  },
  { id: 'rows', header: 'Rows', accessorKey: 'rows', cell: ({ row }) => <Num value={row.original.rows} />, meta: { num: true, width: 84 }, sortDescFirst: true },
  {
    id: 'hot_rows',
    header: () => <span title="Rows that queries see and that the next commit makes durable">Not committed</span>,
    accessorKey: 'hot_rows',
    cell: ({ row }) => (row.original.hot_rows > 0 ? <Num value={row.original.hot_rows} /> : <span className="faint">0</span>),
    meta: { num: true, width: 116, wide: true },
    sortDescFirst: true,
  },
  { id: 'bytes', header: 'Size', accessorKey: 'bytes', cell: ({ row }) => <Bytes value={row.original.bytes} />, meta: { num: true, width: 84 }, sortDescFirst: true },
  { id: 'files', header: 'Files', accessorKey: 'files', cell: ({ row }) => <Num value={row.original.files} />, meta: { num: true, width: 72, wide: true }, sortDescFirst: true },
  {
    id: 'last_commit_us',
    header: 'Last commit',
    accessorFn: (row) => row.last_commit_us ?? 0,
    cell: ({ row }) => <Ago us={row.original.last_commit_us} />,
    meta: { num: true, width: 108, wide: true },
    sortDescFirst: true,
  },
  {
    id: 'writer',
    header: 'Written by',
    accessorFn: (row) => row.writer ?? '',
    cell: ({ row: { original } }) =>
      original.writer ? <Link {...writerOf(original.writer).place}>{writerOf(original.writer).name}</Link> : <span className="faint">{format.NONE}</span>,
    meta: { width: 150, wide: true },
  },
];

/** Every table of the lake, by layer or namespace. */
export default function TableList() {
  const { data } = useSuspenseQuery(tables);
  const [search, set] = useViewState();
  // Namespaces of people's own come after the layers, as far as they hold tables.
  const layers = useMemo(() => [...new Set([...LAYERS, ...data.map((table) => table.layer).sort()])] as ['all', ...string[]], [data]);
  const layer = oneOf(search, 'layer', layers);
  const filter = text(search, 'filter');
  const shown = useMemo(() => (layer === 'all' ? data : data.filter((table) => table.layer === layer)), [data, layer]);
  const count = (name: string) => (name === 'all' ? data.length : data.filter((table) => table.layer === name).length);

  if (data.length === 0) {
    return (
      <Page title="Tables">
        <Empty icon={IconTable} title="No tables yet" next={<Link to="/pipelines">Look at the pipelines</Link>}>
          A table appears here when the first rows of a pipeline or a model arrive.
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Tables">
      <div style={{ marginTop: -20 }}>
        <TabBar
          label="Layer"
          value={layer}
          tabs={layers.map((id) => ({ id, name: LAYERS.some((known) => known === id) ? format.sentence(id) : id, count: count(id) }))}
          onChange={(next) => set({ layer: next === 'all' ? undefined : next })}
        />
      </div>
      <div className="toolbar">
        <FilterBox label="Filter tables" value={filter} onChange={(value) => set({ filter: value })} />
      </div>
      <div className="live">
        <DataTable
          label="Tables"
          rows={shown}
          columns={COLUMNS}
          id={(row) => `${row.layer}.${row.name}`}
          filter={filter}
          sort={text(search, 'sort')}
          onSort={(sort) => set({ sort })}
          nothing={filter ? `No table is called “${filter}”.` : `No ${layer} tables yet.`}
        />
      </div>
    </Page>
  );
}
