import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconPlayerPause, IconPlayerPlay, IconRefreshDot } from '@tabler/icons-react';
import { useMutation, useQueryClient, useSuspenseQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { ApiError, problemOf } from '@/api/client';
import { actions, pipelines, throughput } from '@/api/queries';
import type { FlowError, Pipeline } from '@/api/types';
import { ConfirmByName } from '@/components/confirm';
import { DataTable } from '@/components/data-table';
import { FilterBox } from '@/components/filter-box';
import { failed, said } from '@/components/notify';
import { Ago, Notice, Num, Page, Section, Stat, Stats } from '@/components/parts';
import { Status, urgency } from '@/components/status';
import { LagChart, ThroughputChart } from '@/components/throughput';
import { useNow } from '@/lib/clock';
import * as format from '@/lib/format';
import { tableAt } from '@/lib/places';
import { text, useViewState } from '@/lib/view-state';
import { SnapshotProgress } from './progress';

/** One pipeline: does it flow, how far behind is it, what stops it. */
export default function PipelineDetail() {
  const { name = '' } = useParams({ strict: false }) as { name?: string };
  const { data: all } = useSuspenseQuery(pipelines);
  const { data: history } = useSuspenseQuery(throughput(name));
  const pipeline = all.find((each) => each.name === name);
  if (!pipeline) throw new ApiError({ type: 'about:blank', title: 'No such pipeline', status: 404, code: 'pipeline.unknown', detail: `There is no pipeline called ${name}.`, hint: 'It may have left the configuration.' });
  return (
    <Page
      title={name}
      crumbs={[{ label: 'Pipelines', to: '/pipelines' }]}
      status={<Status state={pipeline.state} />}
      about={`Changes from ${pipeline.source}`}
      actions={<Actions pipeline={pipeline} />}
    >
      {pipeline.last_error && <LastError error={pipeline.last_error} state={pipeline.state} />}
      {pipeline.warning && (
        <Notice tone="warn" hint="Find out why the pipeline lags before the server's disk is full; if it is no longer needed, drop its slot.">
          {pipeline.warning}
        </Notice>
      )}
      {pipeline.snapshot && (
        <div style={{ margin: '12px 0' }}>
          <SnapshotProgress snapshot={pipeline.snapshot} />
        </div>
      )}
      <div style={{ marginTop: 16 }}>
        <Stats>
          <Stat label="Lag" value={format.duration(pipeline.lag_ms)} exact={`${format.exact(pipeline.lag_ms)} ms`} sub={pipeline.lag_bytes != null ? `${format.bytes(pipeline.lag_bytes)} behind` : undefined} />
          <Stat label="Now" value={format.rate(pipeline.rows_per_s, 'changes')} exact={format.exact(pipeline.rows_per_s)} />
          <Stat label="In all" value={format.count(pipeline.rows_total, 'change')} exact={format.exact(pipeline.rows_total)} />
          <Stat label="Last commit" value={<Ago us={pipeline.last_commit_at} />} sub={pipeline.last_commit_ms != null ? `took ${format.duration(pipeline.last_commit_ms)}` : undefined} />
          <Stat label="Durable up to" value={<span className="mono">{pipeline.cursor ?? format.NONE}</span>} sub={pipeline.head ? <>source at {pipeline.head}</> : undefined} />
          <Stat
            label="Dead letters"
            value={
              pipeline.dead_letters > 0 ? (
                <Link to="/transforms" search={{ source: name } as never}>
                  {format.number(pipeline.dead_letters)}
                </Link>
              ) : (
                '0'
              )
            }
          />
          <Stat label="Restarts" value={format.number(pipeline.restarts)} />
        </Stats>
      </div>
      <Section title="Throughput" aside="Changes per second, last ten minutes">
        <ThroughputChart points={history.points} />
      </Section>
      <Section title="Lag" aside="Age of the newest change that queries can't see yet">
        <LagChart points={history.points} />
      </Section>
      {pipeline.transforms.length > 0 && (
        <Section title="Transforms" aside="In this order">
          <div className="row wrap">
            {pipeline.transforms.map((transform) => (
              <Link key={transform} to="/transforms" search={{ open: transform } as never}>
                {transform}
              </Link>
            ))}
          </div>
        </Section>
      )}
      <Tables pipeline={pipeline} />
    </Page>
  );
}

function Actions({ pipeline }: { pipeline: Pipeline }) {
  const { name } = pipeline;
  const cache = useQueryClient();
  const [asking, ask] = useDisclosure(false);
  const paused = pipeline.state === 'paused';
  const act = useMutation({
    mutationFn: (verb: 'pause' | 'resume' | 'resync') => actions[verb](name),
    onSuccess: (_, verb) => {
      ask.close();
      said({ pause: `${name} is paused.`, resume: `${name} resumes.`, resync: `${name} copies its tables again.` }[verb]);
      return cache.invalidateQueries({ queryKey: pipelines.queryKey });
    },
    onError: (error, verb) => failed(`Could not ${verb} ${name}`, problemOf(error)),
  });
  return (
    <>
      {paused ? (
        <Button variant="filled" leftSection={<IconPlayerPlay size={14} />} loading={act.isPending} onClick={() => act.mutate('resume')}>
          Resume
        </Button>
      ) : (
        <Button leftSection={<IconPlayerPause size={14} />} loading={act.isPending} onClick={() => act.mutate('pause')}>
          Pause
        </Button>
      )}
      <Button leftSection={<IconRefreshDot size={14} />} onClick={ask.open}>
        Resync…
      </Button>
      <ConfirmByName opened={asking} onClose={ask.close} title={`Resync ${name}`} name={name} verb="Resync" busy={act.isPending} onConfirm={() => act.mutate('resync')}>
        <p>
          All {format.count(pipeline.tables.length, 'table')} of {name} are read again from the source. Bronze keeps what it has and gains a copy of every row; silver is rebuilt from that copy.
          Queries see the old rows until the new ones are complete. The source bears the load of a full read.
        </p>
      </ConfirmByName>
    </>
  );
}

function LastError({ error, state }: { error: FlowError; state: string }) {
  const now = useNow();
  const wait = error.retry_at_us ? error.retry_at_us / 1000 - now : undefined;
  return (
    <Notice
      tone={state === 'streaming' || state === 'retrying' ? 'warn' : 'bad'}
      title={
        <>
          {format.sentence(error.code)} <span className="muted" style={{ fontWeight: 400 }}><Ago us={error.at_us} /></span>
        </>
      }
      hint={error.hint}
      actions={wait !== undefined && <span className="muted nowrap">{wait > 0 ? `next try in ${format.duration(Math.ceil(wait / 1000) * 1000)}` : 'trying now'}</span>}
    >
      {error.message}
    </Notice>
  );
}

function Tables({ pipeline }: { pipeline: Pipeline }) {
  const [search, set] = useViewState();
  const filter = text(search, 'filter');
  const rows = [...pipeline.tables].sort((a, b) => urgency(a.state) - urgency(b.state));
  return (
    <Section title="Tables" aside={format.count(rows.length, 'table')}>
      {rows.length > 8 && (
        <div className="toolbar">
          <FilterBox label="Filter tables" value={filter} onChange={(value) => set({ filter: value })} />
        </div>
      )}
      <DataTable
        label="Tables of the pipeline"
        rows={rows}
        id={(row) => row.lake_name}
        filter={filter}
        sort={text(search, 'sort')}
        onSort={(sort) => set({ sort })}
        nothing={filter ? `No table is called “${filter}”.` : 'No tables yet: the source is being looked at.'}
        columns={[
          { id: 'source_table', header: 'At the source', accessorKey: 'source_table', cell: ({ row }) => <span className="mono" title={row.original.source_table}>{row.original.source_table}</span> },
          {
            id: 'lake_name',
            header: 'In silver',
            accessorKey: 'lake_name',
            cell: ({ row: { original } }) => (
              <Link {...tableAt('silver', original.lake_name)} title={original.lake_name}>
                {original.lake_name}
              </Link>
            ),
          },
          { id: 'state', header: 'State', accessorFn: (row) => urgency(row.state), cell: ({ row }) => <Status state={row.original.state} />, meta: { width: 112 } },
          { id: 'mode', header: 'Follows', accessorKey: 'mode', meta: { width: 130, wide: true } },
          { id: 'rows', header: 'Changes', accessorKey: 'rows', cell: ({ row }) => <Num value={row.original.rows} />, meta: { num: true, width: 96 }, sortDescFirst: true },
        ]}
        detail={(row) => row.error && <Notice tone="bad">{row.error}</Notice>}
      />
    </Section>
  );
}
