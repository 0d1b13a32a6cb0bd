import { IconRoute } from '@tabler/icons-react';
import { useSuspenseQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ColumnDef } from '@tanstack/react-table';
import { useMemo } from 'react';
import { pipelines } from '@/api/queries';
import type { Pipeline } from '@/api/types';
import { DataTable } from '@/components/data-table';
import { FilterBox } from '@/components/filter-box';
import { Ago, Bytes, Code, Empty, Notice, Num, Page, TabBar } from '@/components/parts';
import { Status, stateWord, urgency } from '@/components/status';
import * as format from '@/lib/format';
import { pipelineAt } from '@/lib/places';
import { text, useViewState } from '@/lib/view-state';
import { SnapshotProgress } from './progress';

const COLUMNS: ColumnDef<Pipeline>[] = [
  {
    id: 'name',
    header: 'Name',
    accessorKey: 'name',
    cell: ({ row: { original } }) => (
      <Link {...pipelineAt(original.name)} className="name" title={original.name}>
        {original.name} <span className="faint">{original.source}</span>
      </Link>
    ),
  },
  { id: 'state', header: 'State', accessorFn: (row) => urgency(row.state), cell: ({ row }) => <Status state={row.original.state} />, meta: { width: 116 } },
  {
    id: 'lag_ms',
    header: 'Lag',
    accessorFn: (row) => row.lag_ms ?? -1,
    cell: ({ row }) => <span title={format.exact(row.original.lag_ms)}>{format.duration(row.original.lag_ms)}</span>,
    meta: { num: true, width: 116 },
    sortDescFirst: true,
  },
  { id: 'lag_bytes', header: 'Behind', accessorFn: (row) => row.lag_bytes ?? -1, cell: ({ row }) => <Bytes value={row.original.lag_bytes} />, meta: { num: true, width: 92, wide: true }, sortDescFirst: true },
  {
    id: 'rows_per_s',
    header: 'Changes/s',
    accessorKey: 'rows_per_s',
    cell: ({ row }) => <Num value={row.original.rows_per_s} />,
    meta: { num: true, width: 96, wide: true },
    sortDescFirst: true,
  },
  { id: 'rows_total', header: 'In all', accessorKey: 'rows_total', cell: ({ row }) => <Num value={row.original.rows_total} />, meta: { num: true, width: 88, wide: true }, sortDescFirst: true },
  { id: 'tables', header: 'Tables', accessorFn: (row) => row.tables.length, cell: ({ row }) => row.original.tables.length, meta: { num: true, width: 76, wide: true }, sortDescFirst: true },
  {
    id: 'dead_letters',
    header: 'Dead letters',
    accessorKey: 'dead_letters',
    cell: ({ row: { original } }) =>
      original.dead_letters > 0 ? (
        <Link to="/transforms" search={{ source: original.name } as never}>
          <Num value={original.dead_letters} />
        </Link>
      ) : (
        <span className="faint">0</span>
      ),
    meta: { num: true, width: 108, wide: true },
    sortDescFirst: true,
  },
  { id: 'last_commit_at', header: 'Last commit', accessorFn: (row) => row.last_commit_at ?? 0, cell: ({ row }) => <Ago us={row.original.last_commit_at} />, meta: { num: true, width: 108, wide: true }, sortDescFirst: true },
];

const FIRST = `sources:
  shop:
    type: postgres
    url: \${SHOP_URL}
    tables: ["public.*"]`;

/** Every pipeline, what fails first. */
export default function PipelineList() {
  const { data } = useSuspenseQuery(pipelines);
  const [search, set] = useViewState();
  const state = text(search, 'state', 'all');
  const filter = text(search, 'filter');
  const states = useMemo(() => ['all', ...new Set(data.map((pipeline) => pipeline.state))].sort((a, b) => (a === 'all' ? -1 : b === 'all' ? 1 : urgency(a) - urgency(b))), [data]);
  const shown = useMemo(() => data.filter((pipeline) => state === 'all' || pipeline.state === state).sort((a, b) => urgency(a.state) - urgency(b.state)), [data, state]);

  if (data.length === 0) {
    return (
      <Page title="Pipelines">
        <Empty icon={IconRoute} title="No pipelines yet">
          <p>
            Each source in <code>lakebox.yaml</code> becomes a pipeline when lakebox starts.
          </p>
          <Code text={FIRST} label="A first source" />
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Pipelines">
      <div style={{ marginTop: -20 }}>
        <TabBar
          label="State"
          value={state}
          tabs={states.map((id) => ({ id, name: format.sentence(stateWord(id)), count: id === 'all' ? data.length : data.filter((pipeline) => pipeline.state === id).length }))}
          onChange={(next) => set({ state: next === 'all' ? undefined : next })}
        />
      </div>
      <div className="toolbar">
        <FilterBox label="Filter pipelines" value={filter} onChange={(value) => set({ filter: value })} />
      </div>
      <div className="live">
        <DataTable
          label="Pipelines"
          rows={shown}
          columns={COLUMNS}
          id={(row) => row.name}
          filter={filter}
          sort={text(search, 'sort')}
          onSort={(sort) => set({ sort })}
          nothing={filter ? `No pipeline is called “${filter}”.` : `No pipeline is ${stateWord(state)}.`}
          detail={(row) =>
            row.last_error ? (
              <Notice tone={row.state === 'failed' ? 'bad' : 'warn'} hint={row.last_error.hint}>
                {row.last_error.message}
              </Notice>
            ) : row.snapshot ? (
              <SnapshotProgress snapshot={row.snapshot} />
            ) : null
          }
        />
      </div>
    </Page>
  );
}
