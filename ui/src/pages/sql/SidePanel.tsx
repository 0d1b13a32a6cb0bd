import { ActionIcon, SegmentedControl } from '@mantine/core';
import { IconChevronDown, IconChevronRight, IconTable, IconTrash } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef, useState } from 'react';
import { problemOf } from '@/api/client';
import { isEcho, kept, listed } from '@/api/history';
import { actions, queryRuns, savedQueries, schema as schemaQuery } from '@/api/queries';
import type { QueryRun, SavedQuery, SchemaTable } from '@/api/types';
import { FilterBox } from '@/components/filter-box';
import { failed, said } from '@/components/notify';
import { Ago, Failure } from '@/components/parts';
import { TableBones } from '@/components/skeleton';
import * as format from '@/lib/format';
import { quoted } from '@/lib/places';
import { changesData } from '@/lib/statements';
import { Files } from './Files';
import { CancelOther, QueryState, ofModel } from './Queue';
import { statementFor } from './use-upload';

export const PANELS = ['schema', 'files', 'saved', 'history'] as const;
export type Panel = (typeof PANELS)[number];

interface Props {
  panel: Panel;
  onPanel: (panel: Panel) => void;
  /** Puts a name in at the cursor. */
  onInsert: (text: string) => void;
  onOpen: (query: string) => void;
  onOpenSaved: (saved: SavedQuery) => void;
  /** Uploads files. */
  onFiles: (files: File[]) => void;
  uploading: boolean;
}

/** What one can query, what was kept, what was asked before. */
export function SidePanel({ panel, onPanel, onInsert, onOpen, onOpenSaved, onFiles, uploading }: Props) {
  const [filter, setFilter] = useState('');
  return (
    <aside className="sql-side" aria-label="Schema, files, saved queries and history">
      <header>
        <SegmentedControl
          fullWidth
          aria-label="Side panel"
          value={panel}
          data={PANELS.map((value) => ({ value, label: format.sentence(value) }))}
          onChange={(next) => onPanel(next as Panel)}
        />
        <FilterBox key={panel} width={232} label={{ schema: 'Filter tables and columns', files: 'Filter files', saved: 'Filter saved queries', history: 'Filter history' }[panel]} value={filter} onChange={setFilter} />
      </header>
      {panel === 'schema' && <Schema filter={filter.toLowerCase()} onInsert={onInsert} />}
      {panel === 'files' && <Files filter={filter.toLowerCase()} busy={uploading} onFiles={onFiles} onOpen={(upload) => onOpen(statementFor(upload))} />}
      {panel === 'saved' && <Saved filter={filter.toLowerCase()} onOpen={onOpenSaved} />}
      {panel === 'history' && <History filter={filter.toLowerCase()} onOpen={onOpen} />}
    </aside>
  );
}

type Line = { kind: 'layer'; layer: string } | { kind: 'table'; table: SchemaTable; open: boolean } | { kind: 'column'; name: string; type: string };

function Schema({ filter, onInsert }: { filter: string; onInsert: (text: string) => void }) {
  const { data, isPending } = useQuery(schemaQuery);
  const [open, setOpen] = useState<Set<string>>(new Set());
  const box = useRef<HTMLDivElement>(null);
  const lines = useMemo((): Line[] => {
    const made: Line[] = [];
    let layer = '';
    for (const table of data?.tables ?? []) {
      const name = `${table.layer}.${table.name}`;
      const named = name.toLowerCase().includes(filter);
      const columns = table.columns.filter((column) => filter === '' || named || column.name.toLowerCase().includes(filter));
      if (!named && columns.length === 0) continue;
      if (layer !== table.layer) made.push({ kind: 'layer', layer: (layer = table.layer) });
      const shown = open.has(name) || (filter.length > 1 && !named);
      made.push({ kind: 'table', table, open: shown });
      if (shown) made.push(...columns.map((column): Line => ({ kind: 'column', name: column.name, type: column.type })));
    }
    return made;
  }, [data, filter, open]);
  const rows = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: (at) => (lines[at]?.kind === 'layer' ? 32 : lines[at]?.kind === 'column' ? 22 : 26), overscan: 20 });

  if (isPending) return <TableBones rows={5} />;
  const toggle = (name: string) =>
    setOpen((old) => {
      const next = new Set(old);
      if (!next.delete(name)) next.add(name);
      return next;
    });
  return (
    <div className="sql-side-list" ref={box} tabIndex={0} role="region" aria-label="Schema">
      {lines.length === 0 && <p className="muted" style={{ padding: 8 }}>{filter ? 'Nothing has this name.' : 'There are no tables yet.'}</p>}
      <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
        {rows.getVirtualItems().map((item) => {
          const line = lines[item.index];
          const style = { position: 'absolute', top: 0, left: 0, right: 0, transform: `translateY(${item.start}px)` } as const;
          if (!line) return null;
          if (line.kind === 'layer') {
            return (
              <div key={item.key} className="group" style={style}>
                {line.layer}
              </div>
            );
          }
          if (line.kind === 'column') {
            return (
              <div key={item.key} className="columns" style={{ ...style, marginBottom: 0 }}>
                <button type="button" className="thing" onClick={() => onInsert(quoted(line.name))} title={`Put ${line.name} in at the cursor`}>
                  <span className="clip">{line.name}</span>
                  <span className="clip">{line.type}</span>
                </button>
              </div>
            );
          }
          const name = `${line.table.layer}.${quoted(line.table.name)}`;
          const Chevron = line.open ? IconChevronDown : IconChevronRight;
          return (
            <div key={item.key} className="thing-row" style={style}>
              <button type="button" className="thing" aria-expanded={line.open} onClick={() => toggle(`${line.table.layer}.${line.table.name}`)} title={name}>
                <Chevron size={13} aria-hidden />
                <span className="clip">{line.table.name}</span>
              </button>
              <ActionIcon size={22} className="more" aria-label={`Put ${name} in at the cursor`} title="Put in at the cursor" onClick={() => onInsert(name)}>
                <IconTable size={13} />
              </ActionIcon>
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Saved({ filter, onOpen }: { filter: string; onOpen: (saved: SavedQuery) => void }) {
  const { data } = useQuery(savedQueries);
  const cache = useQueryClient();
  const refresh = () => cache.invalidateQueries({ queryKey: savedQueries.queryKey });
  const remove = useMutation({
    mutationFn: (saved: SavedQuery) => actions.deleteQuery(saved.id),
    onSuccess: (_, saved) => said(`“${saved.name}” is deleted.`, { label: 'Undo', run: () => void actions.saveQuery({ name: saved.name, query: saved.query }).then(refresh) }),
    onError: (error) => failed('Could not delete it', problemOf(error)),
    onSettled: refresh,
  });
  const shown = (data ?? []).filter((saved) => `${saved.name} ${saved.query}`.toLowerCase().includes(filter));
  return (
    <div className="sql-side-list">
      {data && shown.length === 0 && (
        <p className="muted" style={{ padding: 8 }}>
          {filter ? 'Nothing has this name.' : 'Save a query with Ctrl S and it is here for everybody.'}
        </p>
      )}
      {shown.map((saved) => (
        <div key={saved.id} className="thing-row">
          <button type="button" className="thing" title={saved.query} onClick={() => onOpen(saved)}>
            <span className="clip">{saved.name}</span>
          </button>
          <ActionIcon size={22} className="more" aria-label={`Delete ${saved.name}`} title="Delete" onClick={() => remove.mutate(saved)}>
            <IconTrash size={13} />
          </ActionIcon>
        </div>
      ))}
    </div>
  );
}

/** What waits and runs, whoever started it, and what people ran before. */
function History({ filter, onOpen }: { filter: string; onOpen: (query: string) => void }) {
  const { data, isPending, error, refetch } = useQuery({ ...queryRuns(HISTORY_MAX), refetchInterval: ({ state }) => (state.data?.some(isUnderWay) ? 1_500 : 5_000) });
  if (isPending) return <TableBones rows={5} />;
  const all = listed(data ?? [], kept()).filter((run) => run.query.toLowerCase().includes(filter));
  const now = all.filter(isUnderWay).sort((a, b) => (a.queue_position ?? 0) - (b.queue_position ?? 0));
  const before = all.filter((run) => !isUnderWay(run) && ofModel(run) === undefined && !isEcho(run.query)).slice(0, 120);
  return (
    <div className="sql-side-list">
      {error && <Failure problem={problemOf(error)} onRetry={() => void refetch()} />}
      {data && now.length + before.length === 0 && (
        <p className="muted" style={{ padding: 8 }}>
          {filter ? 'No query holds this text.' : 'Queries that were run appear here.'}
        </p>
      )}
      {now.length > 0 && (
        <section aria-label="Now">
          <div className="group">Now</div>
          {now.map((run) => (
            <div key={run.id} className="thing-row">
              <Past run={run} onOpen={onOpen} />
              <CancelOther run={run} />
            </div>
          ))}
          {before.length > 0 && <div className="group">Before</div>}
        </section>
      )}
      {before.map((run) => (
        <Past key={run.id} run={run} onOpen={onOpen} />
      ))}
    </div>
  );
}

/** As many as the server remembers: runs of models are among them. */
const HISTORY_MAX = 500;
const isUnderWay = (run: QueryRun): boolean => run.state === 'waiting' || run.state === 'running';

function Past({ run, onOpen }: { run: QueryRun; onOpen: (query: string) => void }) {
  const model = ofModel(run);
  const changed = changesData(run.query);
  return (
    <button type="button" className="thing history" title={run.error ? `${run.error}\n\n${run.query}` : run.query} onClick={() => onOpen(run.query)}>
      <span className="mono">{run.query.replace(/\s+/g, ' ')}</span>
      <span className="row faint">
        {run.state === 'done' ? (
          <span>
            {changed && !/^call\b/i.test(run.query) ? (run.rows > 0 ? `${format.count(run.rows, 'row')} changed` : 'Done') : format.count(run.rows, 'row')}, {format.duration(run.elapsed_ms)}
          </span>
        ) : (
          <QueryState run={run} />
        )}
        {model && <span className="clip">model {model}</span>}
        <span style={{ marginLeft: 'auto' }}>
          <Ago us={run.started_us} past />
        </span>
      </span>
    </button>
  );
}
