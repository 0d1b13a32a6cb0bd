import { ActionIcon, Button, NativeSelect } from '@mantine/core';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { problemOf } from '@/api/client';
import { deadLetters } from '@/api/queries';
import type { DeadLetter, Transform } from '@/api/types';
import { DataTable } from '@/components/data-table';
import { FilterBox } from '@/components/filter-box';
import { Ago, Code, Failure } from '@/components/parts';
import { TableBones } from '@/components/skeleton';
import * as format from '@/lib/format';
import { text, useViewState } from '@/lib/view-state';

const STEP = 100;
const LIMIT_MAX = 5_000;
const OPS: Record<string, string> = { c: 'insert', u: 'update', d: 'delete', r: 'copy', t: 'truncate' };

/** A dead letter has no id of its own: where it stood and what failed tell it apart. */
const keyOf = (letter: DeadLetter) => `${letter.source} ${letter.table} ${letter.transform} ${letter.position} ${letter.op}`;

/** Rows that a transform could not take; each opens in place. */
export function DeadLetters({ transforms }: { transforms: Transform[] }) {
  const [search, set] = useViewState();
  const filter = { transform: text(search, 'transform'), source: text(search, 'source'), limit: Math.min(LIMIT_MAX, Number(text(search, 'limit')) || STEP) };
  const words = text(search, 'filter');
  const { data, error, refetch, isFetching } = useQuery({ ...deadLetters(filter), placeholderData: keepPreviousData });
  const [open, setOpen] = useState<string>();
  const sources = useMemo(() => [...new Set(transforms.flatMap((transform) => transform.used_by))].sort(), [transforms]);
  const choice = (all: string, names: string[]) => [{ value: '', label: all }, ...names.map((name) => ({ value: name, label: name }))];

  if (!data) return error ? <Failure problem={problemOf(error)} onRetry={() => void refetch()} /> : <TableBones />;
  return (
    <>
      <div className="toolbar">
        <FilterBox label="Filter dead letters" value={words} onChange={(value) => set({ filter: value })} />
        <NativeSelect
          aria-label="Transform"
          value={filter.transform}
          data={choice('All transforms', transforms.map((transform) => transform.name))}
          onChange={(event) => set({ transform: event.currentTarget.value })}
        />
        <NativeSelect aria-label="Source" value={filter.source} data={choice('All sources', sources)} onChange={(event) => set({ source: event.currentTarget.value })} />
      </div>
      <DataTable
        label="Dead letters"
        rows={data}
        id={(letter, index) => `${keyOf(letter)} ${index}`}
        filter={words}
        nothing={words || filter.transform || filter.source ? 'No dead letter matches.' : 'No dead letters: every row was taken.'}
        columns={[
          {
            id: 'when',
            header: 'Committed',
            accessorFn: (letter) => letter.commit_ts_us ?? 0,
            cell: ({ row: { original } }) => {
              const here = open === keyOf(original);
              return (
                <span className="row">
                  <ActionIcon size={22} aria-label={here ? 'Close the row' : 'Open the row'} aria-expanded={here} onClick={() => setOpen(here ? undefined : keyOf(original))}>
                    {here ? <IconChevronDown size={14} /> : <IconChevronRight size={14} />}
                  </ActionIcon>
                  <Ago us={original.commit_ts_us} />
                </span>
              );
            },
            meta: { width: 124 },
          },
          { id: 'table', header: 'Table', accessorFn: (letter) => `${letter.source}.${letter.table}`, cell: ({ getValue }) => <span title={String(getValue())}>{String(getValue())}</span>, meta: { width: '18%' } },
          { id: 'op', header: 'Change', accessorFn: (letter) => OPS[letter.op] ?? letter.op, meta: { width: 80, wide: true } },
          { id: 'error', header: 'Why', accessorKey: 'error', cell: ({ row }) => <span title={row.original.error}>{row.original.error}</span> },
          { id: 'transform', header: 'Transform', accessorKey: 'transform', meta: { width: 120, wide: true } },
          { id: 'position', header: 'Position', accessorKey: 'position', cell: ({ row }) => <span className="mono muted">{row.original.position}</span>, meta: { width: 120, wide: true } },
        ]}
        detail={(letter) => open === keyOf(letter) && <Opened letter={letter} />}
      />
      {data.length >= filter.limit && filter.limit < LIMIT_MAX && (
        <div style={{ padding: '12px 0' }}>
          <Button loading={isFetching} onClick={() => set({ limit: Math.min(LIMIT_MAX, filter.limit * 2) })}>
            Show more
          </Button>
        </div>
      )}
    </>
  );
}

function Opened({ letter }: { letter: DeadLetter }) {
  const row = useMemo(() => {
    try {
      return JSON.stringify(JSON.parse(letter.row), null, 2);
    } catch {
      return letter.row;
    }
  }, [letter.row]);
  return (
    <div style={{ display: 'grid', gap: 8 }}>
      <p>{letter.error}</p>
      <p className="muted">
        {letter.transform} {letter.plugin_version}, {OPS[letter.op] ?? letter.op} at {letter.position}, {format.exactTime(letter.commit_ts_us)}
      </p>
      <Code text={row} label="The row" />
    </div>
  );
}
