import { IconTable } from '@tabler/icons-react';
import { Button } from '@mantine/core';
import { useSuspenseQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useMemo } from 'react';
import { ApiError } from '@/api/client';
import { modelRuns, models } from '@/api/queries';
import type { ModelRun } from '@/api/types';
import { Chart, type ChartSpec } from '@/components/chart';
import { DataTable } from '@/components/data-table';
import { Ago, Code, Notice, Num, Page, Section, Stat, Stats } from '@/components/parts';
import { Status } from '@/components/status';
import * as format from '@/lib/format';
import { scheduleWords } from '@/lib/schedule';
import { placeOf, tableAt } from '@/lib/places';
import { RunNow } from './RunNow';

/** One model: its statement, what it reads, how its runs went. */
export default function ModelDetail() {
  const { name = '' } = useParams({ strict: false }) as { name?: string };
  const { data } = useSuspenseQuery(models);
  const { data: runs } = useSuspenseQuery(modelRuns(name));
  const model = data.find((each) => each.name === name);
  if (!model) throw new ApiError({ type: 'about:blank', title: 'No such model', status: 404, code: 'model.unknown', detail: `There is no model called ${name}.`, hint: 'Its file may have left the models folder.' });
  return (
    <Page
      title={name}
      crumbs={[{ label: 'Models', to: '/models' }]}
      status={<Status state={model.state} />}
      about={model.description}
      actions={
        <>
          <Button component={Link} {...(tableAt('gold', name) as object)} leftSection={<IconTable size={14} />}>
            Table
          </Button>
          <RunNow model={model} />
        </>
      }
    >
      {model.state === 'failed' && model.last_run?.error && (
        <div style={{ marginBottom: 16 }}>
          <Notice tone="bad" title="The last run failed" hint="The table keeps the rows of the last good run.">
            {model.last_run.error}
          </Notice>
        </div>
      )}
      <Stats>
        <Stat label="Rows" value={format.number(model.rows)} exact={format.exact(model.rows)} />
        <Stat label="Last run" value={<Ago us={model.last_run?.started_us} />} sub={model.last_run ? `took ${format.duration(model.last_run.elapsed_ms)}` : 'never ran'} />
        <Stat label="Runs" value={format.sentence(scheduleWords(model.schedule))} exact={model.schedule} sub={model.next_run_us ? <>next <Ago us={model.next_run_us} /></> : undefined} />
        <Stat label="Sorted by" value={model.sort_order ? <span className="mono">{model.sort_order}</span> : 'nothing'} />
        {model.partition_by && <Stat label="Partitioned by" value={<span className="mono">{model.partition_by}</span>} />}
        <Stat
          label="Reads"
          value={
            <span style={{ fontSize: 'var(--t13)', fontWeight: 400 }}>
              {model.upstream.map((table, at) => {
                const place = placeOf(table);
                return (
                  <span key={table}>
                    {at > 0 && ', '}
                    {place ? <Link {...place}>{table}</Link> : table}
                  </span>
                );
              })}
              {model.upstream.length === 0 && 'no table'}
            </span>
          }
        />
      </Stats>
      <Section title="Statement">
        <Code text={model.sql} label={`Statement of ${name}`} />
      </Section>
      <Runs runs={runs} />
    </Page>
  );
}

const DRAWN_MAX = 60;

function Runs({ runs }: { runs: ModelRun[] }) {
  const spec = useMemo(
    (): ChartSpec => ({
      x: 'category',
      format: format.duration,
      series: [{ name: 'Took', kind: 'bar', points: runs.slice(0, DRAWN_MAX).reverse().map((run) => [format.clock(run.started_us), run.elapsed_ms]) }],
    }),
    [runs],
  );
  return (
    <Section title="Runs" aside="Newest first">
      {runs.length > 2 && (
        <div style={{ marginBottom: 16 }}>
          <Chart spec={spec} height={110} label={`How long the last ${Math.min(DRAWN_MAX, runs.length)} runs took`} />
        </div>
      )}
      <div className="live">
        <DataTable
          label="Runs"
          rows={runs}
          id={(run) => run.id}
          nothing="It never ran. Run it now, or wait for what starts it."
          columns={[
            { id: 'started_us', header: 'Began', accessorKey: 'started_us', cell: ({ row }) => <Ago us={row.original.started_us} />, meta: { width: 110 } },
            { id: 'state', header: 'State', accessorKey: 'state', cell: ({ row }) => <Status state={row.original.state} />, meta: { width: 110 } },
            { id: 'trigger', header: 'Started by', accessorKey: 'trigger', meta: { width: 110, wide: true } },
            { id: 'elapsed_ms', header: 'Took', accessorKey: 'elapsed_ms', cell: ({ row }) => format.duration(row.original.elapsed_ms), meta: { num: true, width: 100 } },
            { id: 'rows', header: 'Rows', accessorKey: 'rows', cell: ({ row }) => <Num value={row.original.rows} />, meta: { num: true, width: 100 } },
            {
              id: 'as_of',
              header: 'Saw its inputs up to',
              accessorFn: (run) => (run.as_of ?? []).map((seen) => `${seen.source} ${seen.cursor}`).join(', '),
              cell: ({ getValue }) => <span className="mono muted">{String(getValue())}</span>,
              meta: { wide: true },
            },
          ]}
          detail={(run) => run.error && <Notice tone="bad">{run.error}</Notice>}
        />
      </div>
    </Section>
  );
}
