import './tables.css';
import { Button } from '@mantine/core';
import { IconTerminal2 } from '@tabler/icons-react';
import { useSuspenseQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { lazy } from 'react';
import { problemOf } from '@/api/client';
import { table as tableQuery } from '@/api/queries';
import type { TableColumn, TableDetail as Detail } from '@/api/types';
import { Boundary } from '@/components/boundary';
import { DataTable } from '@/components/data-table';
import { Ago, Code, CopyButton, Failure, Notice, Page, Stat, Stats, TabBar } from '@/components/parts';
import { TableBones } from '@/components/skeleton';
import * as format from '@/lib/format';
import { quoted, sqlWith } from '@/lib/places';
import { oneOf, useViewState } from '@/lib/view-state';
import { Files, Snapshots } from './layout';
import { Lineage } from './lineage';
import { Upkeep } from './Upkeep';

const Sample = lazy(() => import('./Sample'));

const TABS = ['columns', 'rows', 'snapshots', 'files', 'upkeep', 'lineage', 'properties'] as const;

/** One table: what it holds, what it looks like, how it got there. */
export default function TableDetail() {
  const { layer = '', name = '' } = useParams({ strict: false }) as { layer?: string; name?: string };
  const { data } = useSuspenseQuery(tableQuery(layer, name));
  const [search, set] = useViewState();
  const tab = oneOf(search, 'tab', TABS);
  const statement = `select * from ${layer}.${quoted(name)} limit 1000`;
  return (
    <Page
      title={name}
      crumbs={[
        { label: 'Tables', to: '/tables' },
        { label: format.sentence(layer), to: '/tables', search: { layer } },
      ]}
      actions={
        <Button component={Link} {...(sqlWith(statement) as object)} leftSection={<IconTerminal2 size={14} />}>
          Query
        </Button>
      }
    >
      {data.error && (
        <div style={{ marginBottom: 16 }}>
          <Notice tone="bad" title="This table fails">
            {data.error}
          </Notice>
        </div>
      )}
      <Stats>
        <Stat label="Rows" value={format.number(data.rows)} exact={format.exact(data.rows)} sub={data.hot_rows > 0 ? `${format.number(data.hot_rows)} not committed` : undefined} />
        <Stat label="Size" value={format.bytes(data.bytes)} exact={format.exactBytes(data.bytes)} />
        <Stat label="Files" value={format.number(data.files)} exact={format.exact(data.files)} />
        <Stat
          label="Hidden by deletes"
          value={format.number(data.deleted_rows)}
          exact={`${format.exact(data.deleted_rows)} rows, ${format.exactBytes(data.delete_bytes)} of delete files`}
          sub={data.rows + data.deleted_rows > 0 ? format.percent(data.deleted_rows / (data.rows + data.deleted_rows)) : undefined}
        />
        <Stat label="Last commit" value={<Ago us={data.last_commit_us} />} />
        {data.cursor && <Stat label="True up to" value={<span className="mono">{data.cursor}</span>} />}
      </Stats>
      <TabBar
        label="About this table"
        value={tab}
        tabs={TABS.map((id) => ({ id, name: format.sentence(id), count: id === 'columns' ? data.columns.length : undefined }))}
        onChange={(next) => set({ tab: next === 'columns' ? undefined : next })}
      />
      <Boundary resetKey={tab} loading={<TableBones />} failure={(error, retry) => <Failure problem={problemOf(error)} onRetry={retry} />}>
        {tab === 'columns' && <Columns data={data} />}
        {tab === 'rows' && <Sample layer={layer} name={name} />}
        {tab === 'snapshots' && <Snapshots layer={layer} name={name} />}
        {tab === 'files' && <Files layer={layer} name={name} />}
        {tab === 'upkeep' && <Upkeep key={`${layer}.${name}`} layer={layer} name={name} version={data.format_version} />}
        {tab === 'lineage' && <Lineage data={data} />}
        {tab === 'properties' && <Properties data={data} />}
      </Boundary>
    </Page>
  );
}

/** What a column is about; the name of its type alone says nothing new. */
const about = (column: TableColumn) => (column.doc && column.doc !== column.type ? column.doc : '');

function Columns({ data }: { data: Detail }) {
  return (
    <DataTable
      label="Columns"
      rows={data.columns}
      id={(column) => String(column.id)}
      columns={[
        {
          id: 'name',
          header: 'Name',
          accessorKey: 'name',
          cell: ({ row: { original } }) => (
            <span title={original.name}>
              <span className="mono">{original.name}</span> {data.key.includes(original.name) && <span className="tag">key</span>}
            </span>
          ),
        },
        { id: 'type', header: 'Type', accessorKey: 'type', cell: ({ row }) => <span className="mono muted">{row.original.type}</span>, meta: { width: '28%' } },
        { id: 'required', header: 'Empty', accessorFn: (column) => (column.required ? 'never' : 'allowed'), cell: ({ row }) => <span className="muted">{row.original.required ? 'never' : 'allowed'}</span>, meta: { width: 90 } },
        { id: 'doc', header: 'About', accessorFn: about, cell: ({ row }) => <span className="muted">{about(row.original)}</span>, meta: { width: '30%', wide: true } },
        { id: 'id', header: 'Field', accessorKey: 'id', meta: { width: 64, num: true, wide: true } },
      ]}
    />
  );
}

function Properties({ data }: { data: Detail }) {
  const facts = [
    { name: 'Location', value: data.location },
    { name: 'Current metadata', value: data.metadata_location },
  ];
  return (
    <>
      <dl className="facts">
        {facts.map((fact) => (
          <div key={fact.name}>
            <dt>{fact.name}</dt>
            <dd className="mono">
              {fact.value} <CopyButton text={fact.value} label={`Copy the ${fact.name.toLowerCase()}`} />
            </dd>
          </div>
        ))}
        <div>
          <dt>Format</dt>
          <dd>Iceberg version {data.format_version}</dd>
        </div>
        <div>
          <dt>Key</dt>
          <dd>{data.key.length > 0 ? <span className="mono">{data.key.join(', ')}</span> : 'None: rows are told apart by their values'}</dd>
        </div>
        <div>
          <dt>Sorted by</dt>
          <dd>{data.sort_order ? <span className="mono">{data.sort_order}</span> : 'Nothing'}</dd>
        </div>
        <div>
          <dt>Partitioned by</dt>
          <dd>{data.partition_by ? <span className="mono">{data.partition_by}</span> : 'Nothing'}</dd>
        </div>
      </dl>
      <p className="muted" style={{ margin: '20px 0 8px' }}>
        Any Iceberg engine reads this table from its metadata file, for example DuckDB:
      </p>
      <Code text={`select * from iceberg_scan('${data.metadata_location}') limit 10;`} label="How DuckDB reads it" />
      {data.properties.length > 0 && (
        <div style={{ marginTop: 20 }}>
          <DataTable
            label="Properties"
            rows={data.properties}
            id={(property) => property.name}
            columns={[
              { id: 'name', header: 'Property', accessorKey: 'name', cell: ({ row }) => <span className="mono">{row.original.name}</span> },
              { id: 'value', header: 'Value', accessorKey: 'value', cell: ({ row }) => <span className="mono" title={row.original.value}>{row.original.value}</span> },
            ]}
          />
        </div>
      )}
    </>
  );
}
