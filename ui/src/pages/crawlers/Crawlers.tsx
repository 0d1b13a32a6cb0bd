import { ActionIcon, Button } from '@mantine/core';
import { IconChevronDown, IconChevronRight, IconFolderSearch, IconRefresh } from '@tabler/icons-react';
import { useMutation, useQueryClient, useSuspenseQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { problemOf } from '@/api/client';
import { actions, crawlers } from '@/api/queries';
import type { CrawledTable, Crawler, Drift } from '@/api/types';
import { DataTable } from '@/components/data-table';
import { FilterBox } from '@/components/filter-box';
import { failed } from '@/components/notify';
import { Ago, Bytes, Code, Empty, Notice, Num, Page, Section } from '@/components/parts';
import { Status } from '@/components/status';
import * as format from '@/lib/format';
import { quoted, sqlWith } from '@/lib/places';
import { text, useViewState } from '@/lib/view-state';

const EXAMPLE = `server:
  files: [/data/landing]

crawlers:
  landing:
    url: /data/landing
    every: 10m`;

/** What is found among files of others: tables, and how their columns change. */
export default function Crawlers() {
  const { data } = useSuspenseQuery(crawlers);
  const [search, set] = useViewState();
  const filter = text(search, 'filter');
  if (data.length === 0) {
    return (
      <Page title="Crawlers">
        <Empty icon={IconFolderSearch} title="No crawlers yet">
          <p>
            A crawler looks below a folder or a bucket&rsquo;s prefix and registers what it finds as tables: CSV, JSON, Parquet, Avro, Delta and Iceberg. Name one in{' '}
            <code>lakebox.yaml</code>.
          </p>
          <Code text={EXAMPLE} label="A first crawler" />
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Crawlers" about="Tables found among files. New files are seen at once by queries, new columns at the next crawl.">
      <div className="toolbar">
        <FilterBox label="Filter tables" value={filter} onChange={(value) => set({ filter: value })} />
      </div>
      {data.map((crawler) => (
        <One key={crawler.name} crawler={crawler} filter={filter} open={text(search, 'open')} onOpen={(open) => set({ open })} />
      ))}
    </Page>
  );
}

const WORDS: Record<string, { state: string; word: string }> = {
  crawling: { state: 'running', word: 'Crawling' },
  new: { state: 'pending', word: 'Not crawled yet' },
};

function One({ crawler, filter, open, onOpen }: { crawler: Crawler; filter: string; open: string; onOpen: (open: string | undefined) => void }) {
  const state = WORDS[crawler.state] ?? { state: crawler.state, word: undefined };
  const total = (of: (table: CrawledTable) => number) => crawler.tables.reduce((sum, table) => sum + of(table), 0);
  return (
    <Section
      title={crawler.name}
      aside={
        <span className="row wrap">
          <Status state={state.state} {...(state.word ? { word: state.word } : {})} />
          <CrawlNow crawler={crawler} />
        </span>
      }
    >
      <p className="muted" style={{ marginBottom: 8 }}>
        <span className="mono">{crawler.url}</span> · {crawler.format ?? 'every format'} · every {format.duration(crawler.every_ms)}
        {crawler.crawled_us != null && (
          <>
            {' · '}last crawl <Ago us={crawler.crawled_us} past />, took {format.duration(crawler.elapsed_ms)}
          </>
        )}
        {' · '}
        {format.count(crawler.tables.length, 'table')}, {format.count(total((table) => table.files), 'file')}, {format.bytes(total((table) => table.bytes))}
      </p>
      {crawler.error && (
        <Notice tone="bad" title="The last crawl failed" hint={crawler.hint}>
          {crawler.error} {crawler.tables.length > 0 && 'What the crawl before found is still there.'}
        </Notice>
      )}
      {crawler.tables.length > 0 && <Tables crawler={crawler} filter={filter} open={open} onOpen={onOpen} />}
      {!crawler.error && crawler.tables.length === 0 && crawler.state !== 'crawling' && <p className="muted">There is no file that makes a table.</p>}
      {crawler.drift.length > 0 && <Changes drift={crawler.drift} />}
    </Section>
  );
}

function CrawlNow({ crawler }: { crawler: Crawler }) {
  const cache = useQueryClient();
  const run = useMutation({
    mutationFn: () => actions.crawl(crawler.name),
    onError: (error) => failed(`Could not crawl ${crawler.name}`, problemOf(error)),
    onSettled: () => cache.invalidateQueries({ queryKey: crawlers.queryKey }),
  });
  return (
    <Button leftSection={<IconRefresh size={14} />} loading={run.isPending || crawler.state === 'crawling'} onClick={() => run.mutate()}>
      Crawl now
    </Button>
  );
}

function Tables({ crawler, filter, open, onOpen }: { crawler: Crawler; filter: string; open: string; onOpen: (open: string | undefined) => void }) {
  const key = (table: CrawledTable) => `${crawler.name}.${table.name}`;
  return (
    <div className="live">
      <DataTable
        label={`Tables of ${crawler.name}`}
        rows={crawler.tables}
        id={key}
        filter={filter}
        columns={[
          {
            id: 'name',
            header: 'Table',
            accessorKey: 'name',
            cell: ({ row: { original } }) => (
              <span className="row">
                <ActionIcon
                  size={22}
                  aria-label={open === key(original) ? `Close ${original.name}` : `Show the columns of ${original.name}`}
                  aria-expanded={open === key(original)}
                  onClick={() => onOpen(open === key(original) ? undefined : key(original))}
                >
                  {open === key(original) ? <IconChevronDown size={14} /> : <IconChevronRight size={14} />}
                </ActionIcon>
                {original.error ? (
                  <span className="clip">{original.name}</span>
                ) : (
                  <Link {...sqlWith(`SELECT * FROM ${quoted(crawler.name)}.${quoted(original.name)} LIMIT 100`)} className="name clip" title={`Query ${key(original)}`}>
                    {original.name}
                  </Link>
                )}
              </span>
            ),
          },
          { id: 'format', header: 'Format', accessorKey: 'format', cell: ({ row }) => (row.original.error ? <Status state="failed" word="Can't be read" /> : row.original.format), meta: { width: 120 } },
          { id: 'columns', header: 'Columns', accessorFn: (row) => row.columns.length, cell: ({ row }) => <Num value={row.original.columns.length} />, meta: { num: true, width: 84, wide: true } },
          { id: 'partitions', header: 'Partitions', accessorFn: (row) => row.partitions.join(', '), cell: ({ row }) => row.original.partitions.join(', ') || format.NONE, meta: { width: 150, wide: true } },
          { id: 'rows', header: 'Rows', accessorFn: (row) => row.rows ?? -1, cell: ({ row }) => <Num value={row.original.rows} />, meta: { num: true, width: 84, wide: true }, sortDescFirst: true },
          { id: 'files', header: 'Files', accessorKey: 'files', cell: ({ row }) => <Num value={row.original.files} />, meta: { num: true, width: 76, wide: true }, sortDescFirst: true },
          { id: 'bytes', header: 'Size', accessorKey: 'bytes', cell: ({ row }) => <Bytes value={row.original.bytes} />, meta: { num: true, width: 88 }, sortDescFirst: true },
        ]}
        detail={(row) => (row.error || open === key(row)) && <Detail table={row} open={open === key(row)} />}
      />
    </div>
  );
}

function Detail({ table, open }: { table: CrawledTable; open: boolean }) {
  return (
    <div style={{ display: 'grid', gap: 12 }}>
      {table.error && (
        <Notice tone="bad" hint={table.hint}>
          {table.error}
        </Notice>
      )}
      {open && <p className="mono clip">{table.path}</p>}
      {open && table.columns.length > 0 && (
        <DataTable
          label={`Columns of ${table.name}`}
          rows={table.columns}
          id={(column) => column.name}
          columns={[
            { id: 'name', header: 'Column', accessorKey: 'name', cell: ({ row }) => <span className="mono">{row.original.name}</span> },
            { id: 'type', header: 'Type', accessorKey: 'type', cell: ({ row }) => <span className="muted">{row.original.type}</span>, meta: { width: 220 } },
            { id: 'from', header: 'From', accessorFn: (column) => table.partitions.includes(column.name), cell: ({ row }) => (table.partitions.includes(row.original.name) ? 'folders' : 'files'), meta: { width: 90, wide: true } },
          ]}
        />
      )}
    </div>
  );
}

const KINDS: Record<string, string> = {
  table_added: 'New table',
  table_removed: 'Table gone',
  column_added: 'New column',
  column_removed: 'Column gone',
  column_missing: 'Column missing in the newest file',
  type_changed: 'Other type',
  broken: "Can't be read any more",
};

function Changes({ drift }: { drift: Drift[] }) {
  return (
    <div style={{ marginTop: 16 }}>
      <h3 style={{ marginBottom: 4 }}>What changed</h3>
      <DataTable
        label="What changed"
        rows={drift}
        id={(_, at) => String(at)}
        columns={[
          { id: 'seen', header: 'Seen', accessorKey: 'seen_us', cell: ({ row }) => <Ago us={row.original.seen_us} past />, meta: { width: 92 } },
          { id: 'kind', header: 'Change', accessorKey: 'kind', cell: ({ row }) => KINDS[row.original.kind] ?? format.sentence(row.original.kind), meta: { width: 220 } },
          {
            id: 'what',
            header: 'Where',
            accessorKey: 'table',
            cell: ({ row: { original } }) => (
              <span className="clip" title={original.becomes ?? undefined}>
                <span className="mono">{original.column ? `${original.table}.${original.column}` : original.table}</span>
                {original.was && original.becomes && ` ${original.was} → ${original.becomes}`}
                {!original.was && original.becomes && original.column && ` ${original.becomes}`}
              </span>
            ),
          },
          { id: 'file', header: 'File', accessorKey: 'file', cell: ({ row: { original } }) => <span className="mono clip" title={original.file ?? undefined}>{original.file ? format.middle(original.file, 48) : format.NONE}</span>, meta: { wide: true } },
        ]}
      />
    </div>
  );
}
