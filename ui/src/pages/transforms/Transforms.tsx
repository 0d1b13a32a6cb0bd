import { ActionIcon } from '@mantine/core';
import { IconChevronDown, IconChevronRight, IconFilterCode } from '@tabler/icons-react';
import { useSuspenseQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { problemOf } from '@/api/client';
import { transforms } from '@/api/queries';
import type { Transform } from '@/api/types';
import { Boundary } from '@/components/boundary';
import { DataTable } from '@/components/data-table';
import { Code, CopyButton, Empty, Failure, Notice, Num, Page, Section } from '@/components/parts';
import { TableBones } from '@/components/skeleton';
import { Status, urgency } from '@/components/status';
import * as format from '@/lib/format';
import { pipelineAt } from '@/lib/places';
import { text, useViewState } from '@/lib/view-state';
import { DeadLetters } from './DeadLetters';

const EXAMPLE = `transforms:
  mask_pii:
    wasm: plugins/mask_pii.wasm
    config: { columns: [email] }
    on_error: dead_letter`;

/** Plugins: what they are allowed, what they did, and the rows they could not take. */
export default function Transforms() {
  const { data } = useSuspenseQuery(transforms);
  const [search, set] = useViewState();
  const open = text(search, 'open');
  const rows = [...data].sort((a, b) => urgency(a.state) - urgency(b.state));
  if (data.length === 0) {
    return (
      <Page title="Transforms">
        <Empty icon={IconFilterCode} title="No transforms yet">
          <p>
            A transform is a WebAssembly plugin that changes rows on their way in. Name it in <code>lakebox.yaml</code> and in the <code>transforms</code> of a source.
          </p>
          <Code text={EXAMPLE} label="A first transform" />
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Transforms">
      <div className="live">
        <DataTable
          label="Transforms"
          rows={rows}
          id={(row) => row.name}
          sort={text(search, 'sort')}
          onSort={(sort) => set({ sort })}
          columns={[
            {
              id: 'name',
              header: 'Name',
              accessorKey: 'name',
              cell: ({ row: { original } }) => (
                <span className="row">
                  <ActionIcon
                    size={22}
                    aria-label={open === original.name ? `Close ${original.name}` : `Open ${original.name}`}
                    aria-expanded={open === original.name}
                    onClick={() => set({ open: open === original.name ? undefined : original.name })}
                  >
                    {open === original.name ? <IconChevronDown size={14} /> : <IconChevronRight size={14} />}
                  </ActionIcon>
                  <strong className="clip" style={{ fontWeight: 500 }} title={original.name}>
                    {original.name}
                  </strong>
                  <span className="faint wide-only">{original.version}</span>
                </span>
              ),
            },
            { id: 'state', header: 'State', accessorFn: (row) => urgency(row.state), cell: ({ row }) => <Status state={row.original.state} />, meta: { width: 96 } },
            { id: 'rows_in', header: 'Rows in', accessorKey: 'rows_in', cell: ({ row }) => <Num value={row.original.rows_in} />, meta: { num: true, width: 92, wide: true } },
            { id: 'rows_out', header: 'Rows out', accessorKey: 'rows_out', cell: ({ row }) => <Num value={row.original.rows_out} />, meta: { num: true, width: 92, wide: true } },
            {
              id: 'dead',
              header: 'Dead letters',
              accessorKey: 'dead',
              cell: ({ row }) => <Num value={row.original.dead} />,
              meta: { num: true, width: 104 },
            },
            { id: 'traps', header: () => <span title="Calls that trapped, or ran out of time or memory">Stopped</span>, accessorKey: 'traps', cell: ({ row }) => <Num value={row.original.traps} />, meta: { num: true, width: 84, wide: true } },
            { id: 'ns_per_row', header: 'Per row', accessorKey: 'ns_per_row', cell: ({ row }) => (row.original.rows_in > 0 ? format.duration(row.original.ns_per_row / 1e6) : format.NONE), meta: { num: true, width: 88, wide: true } },
          ]}
          detail={(row) => (row.error || open === row.name) && <About transform={row} open={open === row.name} />}
        />
      </div>
      <Section title="Dead letters" aside="Rows that a transform could not take, newest first">
        <Boundary loading={<TableBones />} failure={(error, retry) => <Failure problem={problemOf(error)} onRetry={retry} />}>
          <DeadLetters transforms={data} />
        </Boundary>
      </Section>
    </Page>
  );
}

const ON_ERROR: Record<string, string> = {
  dead_letter: 'become dead letters',
  skip: 'are left out',
  pass: 'pass unchanged',
  stop: 'stop the pipeline',
};

function About({ transform, open }: { transform: Transform; open: boolean }) {
  return (
    <div style={{ display: 'grid', gap: 12 }}>
      {transform.error && <Notice tone="bad">{transform.error}</Notice>}
      {open && (
        <>
          {transform.description && <p className="muted">{transform.description}</p>}
          <dl className="stats">
            <Fact label="Memory" value={`at most ${format.bytes(transform.memory_bytes_max)}`} />
            <Fact label="Time for a batch" value={`at most ${format.duration(transform.batch_ms_max)}`} />
            <Fact label="Rows it can't take" value={ON_ERROR[transform.on_error] ?? transform.on_error} />
            <Fact
              label="Used by"
              value={
                transform.used_by.length === 0
                  ? 'no pipeline'
                  : transform.used_by.map((name, at) => (
                      <span key={name}>
                        {at > 0 && ', '}
                        <Link {...pipelineAt(name)}>{name}</Link>
                      </span>
                    ))
              }
            />
            <Fact label="File" value={<span className="mono">{transform.path}</span>} />
            {transform.hash && (
              <Fact
                label="SHA-256"
                value={
                  <span className="row">
                    <span className="mono">{format.middle(transform.hash, 20)}</span>
                    <CopyButton text={transform.hash} label="Copy the hash" />
                  </span>
                }
              />
            )}
          </dl>
          {transform.config != null && <Code text={JSON.stringify(transform.config, null, 2)} label={`Configuration of ${transform.name}`} />}
        </>
      )}
    </div>
  );
}

const Fact = ({ label, value }: { label: string; value: React.ReactNode }) => (
  <div className="stat">
    <dt>{label}</dt>
    <dd style={{ fontSize: 'var(--t13)', fontWeight: 400 }}>{value}</dd>
  </div>
);
