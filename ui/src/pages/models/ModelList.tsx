import { IconCube } from '@tabler/icons-react';
import { useSuspenseQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { models } from '@/api/queries';
import { DataTable } from '@/components/data-table';
import { FilterBox } from '@/components/filter-box';
import { Ago, Code, Empty, Notice, Num, Page } from '@/components/parts';
import { Status, urgency } from '@/components/status';
import * as format from '@/lib/format';
import { scheduleWords } from '@/lib/schedule';
import { modelAt } from '@/lib/places';
import { text, useViewState } from '@/lib/view-state';
import { RunNow } from './RunNow';

const EXAMPLE = `-- models/daily_payments.sql
select date_trunc('day', paid_at) as day, sum(amount) as amount
from {{ source('silver', 'shop_payments') }}
group by 1`;

/** Gold tables and the statements that make them. */
export default function ModelList() {
  const { data } = useSuspenseQuery(models);
  const [search, set] = useViewState();
  const filter = text(search, 'filter');
  const rows = [...data].sort((a, b) => urgency(a.state) - urgency(b.state));
  if (data.length === 0) {
    return (
      <Page title="Models">
        <Empty icon={IconCube} title="No models yet">
          <p>
            A model is a SQL file in <code>models/</code>. Its result becomes a gold table that stays up to date.
          </p>
          <Code text={EXAMPLE} label="A first model" />
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Models">
      <div className="toolbar">
        <FilterBox label="Filter models" value={filter} onChange={(value) => set({ filter: value })} />
      </div>
      <div className="live">
        <DataTable
          label="Models"
          rows={rows}
          id={(row) => row.name}
          filter={filter}
          sort={text(search, 'sort')}
          onSort={(sort) => set({ sort })}
          columns={[
            {
              id: 'name',
              header: 'Name',
              accessorKey: 'name',
              cell: ({ row: { original } }) => (
                <span className="row">
                  <Link {...modelAt(original.name)} className="name clip" title={original.name} style={{ flex: '0 1 auto' }}>
                    {original.name}
                  </Link>
                  <span className="faint clip wide-only" style={{ flex: '1 100 0' }} title={original.description}>
                    {original.description}
                  </span>
                </span>
              ),
            },
            { id: 'state', header: 'State', accessorFn: (row) => urgency(row.state), cell: ({ row }) => <Status state={row.original.state} />, meta: { width: 100 } },
            { id: 'schedule', header: 'Runs', accessorKey: 'schedule', cell: ({ row: { original } }) => <span title={original.schedule}>{scheduleWords(original.schedule)}</span>, meta: { width: 130, wide: true } },
            { id: 'last', header: 'Last run', accessorFn: (row) => row.last_run?.started_us ?? 0, cell: ({ row }) => <Ago us={row.original.last_run?.started_us} />, meta: { num: true, width: 92, wide: true }, sortDescFirst: true },
            { id: 'took', header: 'Took', accessorFn: (row) => row.last_run?.elapsed_ms ?? 0, cell: ({ row }) => format.duration(row.original.last_run?.elapsed_ms), meta: { num: true, width: 84, wide: true }, sortDescFirst: true },
            { id: 'rows', header: 'Rows', accessorKey: 'rows', cell: ({ row }) => <Num value={row.original.rows} />, meta: { num: true, width: 84, wide: true }, sortDescFirst: true },
            { id: 'run', header: () => <span className="visually-hidden">Run</span>, enableSorting: false, cell: ({ row }) => <RunNow model={row.original} compact />, meta: { width: 52, num: true } },
          ]}
          detail={(row) => row.state === 'failed' && row.last_run?.error && <Notice tone="bad">{row.last_run.error}</Notice>}
        />
      </div>
    </Page>
  );
}
