import './overview.css';
import { IconPlugConnected } from '@tabler/icons-react';
import { useQuery, useSuspenseQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect } from 'react';
import { overview, queryRuns, savedQueries } from '@/api/queries';
import { isEcho, kept, listed } from '@/api/history';
import type { Issue, LayerHealth, Overview as Body } from '@/api/types';
import { Ago, Bytes, Code, Empty, Notice, Num, Section, Stat, Stats } from '@/components/parts';
import { Status, ToneIcon, type Tone, stateWord, urgency } from '@/components/status';
import { ThroughputChart } from '@/components/throughput';
import * as format from '@/lib/format';
import { modelAt, pipelineAt, placeOf, sqlWith } from '@/lib/places';

/** Is anything wrong? Failing things first, then how fresh each layer is, then how much flows and what it takes. */
export default function Overview() {
  const { data } = useSuspenseQuery(overview);
  useEffect(() => {
    document.title = 'Overview · lakebox';
  }, []);
  if (data.pipelines.length === 0 && data.rows_total === 0 && data.storage.files === 0) return <FirstRun />;
  return (
    <div className="page">
      <Health data={data} />
      {data.issues.length > 0 && (
        <div className="issues">
          {data.issues.map((issue) => (
            <Wrong key={`${issue.about}/${issue.name}/${issue.message}`} issue={issue} />
          ))}
        </div>
      )}
      <div className="layers live">
        {data.layers.map((layer) => (
          <Layer key={layer.layer} layer={layer} />
        ))}
      </div>
      {data.pipelines.length === 0 ? (
        <div style={{ marginTop: 24 }}>
          <Notice tone="calm" title="No source is followed" hint={<>Name one under <code>sources</code> in <code>lakebox.yaml</code> and start lakebox again.</>}>
            Tables that SQL made and files are there; bronze, silver and gold fill once a source flows.
          </Notice>
        </div>
      ) : (
        <Flow data={data} />
      )}
      <div className="two">
        <Section title="Storage" aside={<span className="mono">{format.middle(data.storage.warehouse, 44)}</span>}>
          <Stats>
            <Stat label="Live data" value={format.bytes(data.storage.bytes)} exact={format.exactBytes(data.storage.bytes)} />
            <Stat label="Files" value={format.number(data.storage.files)} exact={format.exact(data.storage.files)} />
            <Stat label="Store requests" value={format.number(data.storage.requests)} exact={`${format.exact(data.storage.requests)} since the process began`} />
            {data.storage.disk_free_bytes != null && <Stat label="Free on disk" value={format.bytes(data.storage.disk_free_bytes)} exact={format.exactBytes(data.storage.disk_free_bytes)} />}
          </Stats>
        </Section>
        <Section title="Process" aside={`lakebox ${data.process.version}`}>
          <Stats>
            <Stat label="Up" value={format.duration((data.at_us - data.process.started_us) / 1000)} exact={`since ${format.exactTime(data.process.started_us)}`} />
            <Stat label="Memory" value={format.bytes(data.process.memory_bytes)} exact={format.exactBytes(data.process.memory_bytes)} />
            <Stat label="CPU time" value={format.duration(data.process.cpu_s * 1000)} exact={`${format.exact(data.process.cpu_s)} s`} />
            <Stat label="Queries running" value={format.number(data.process.queries_running)} />
          </Stats>
        </Section>
        <Recent />
      </div>
    </div>
  );
}

function Flow({ data }: { data: Body }) {
  return (
    <Section
      title="Throughput"
      aside={
        <>
          <strong style={{ color: 'var(--text)' }} title={format.exact(data.rows_per_s)}>
            {format.rate(data.rows_per_s, 'changes')}
          </strong>{' '}
          now, <Num value={data.rows_total} /> in all
        </>
      }
    >
      <ThroughputChart points={data.throughput} />
    </Section>
  );
}

function Health({ data }: { data: Body }) {
  const errors = data.issues.filter((issue) => issue.severity === 'error').length;
  const warnings = data.issues.length - errors;
  const tone: Tone = data.health === 'failing' ? 'bad' : data.health === 'degraded' ? 'warn' : 'ok';
  const title = errors > 0 ? `${format.count(errors, 'thing')} failing` : warnings > 0 ? `${format.count(warnings, 'thing')} to look at` : 'All is well';
  return (
    <header>
      <h1 className="health live" data-tone={tone}>
        <ToneIcon tone={tone} size={26} />
        {title}
      </h1>
      <p className="health-sub live">
        {data.pipelines.length === 0 && 'No pipelines'}
        {[...data.pipelines]
          .sort((a, b) => urgency(a.state) - urgency(b.state))
          .map(({ state, count }, at) => (
            <span key={state}>
              {at > 0 && ', '}
              <Link to="/pipelines" search={{ state } as never}>
                {format.count(count, 'pipeline')} {stateWord(state)}
              </Link>
            </span>
          ))}
        , as of {format.clock(data.at_us)}
      </p>
    </header>
  );
}

const PLACES: Record<string, (name: string) => { to: string; params?: never } | undefined> = {
  pipeline: pipelineAt,
  model: modelAt,
  transform: () => ({ to: '/transforms' }),
  table: placeOf,
};

function Wrong({ issue }: { issue: Issue }) {
  const place = PLACES[issue.about]?.(issue.name);
  const name = `${format.sentence(issue.about)} ${issue.name}`;
  return (
    <Notice
      tone={issue.severity === 'error' ? 'bad' : 'warn'}
      title={place ? <Link {...place}>{name}</Link> : name}
      hint={issue.hint}
      actions={
        <span className="muted nowrap">
          <Ago us={issue.since_us} past />
        </span>
      }
    >
      {issue.message}
    </Notice>
  );
}

const LAYERS: Record<string, string> = { bronze: 'every change', silver: 'current rows', gold: 'models' };

function Layer({ layer }: { layer: LayerHealth }) {
  return (
    <Link to="/tables" search={{ layer: layer.layer } as never} className="layer">
      <div className="layer-name">
        {format.sentence(layer.layer)} <span className="faint">{LAYERS[layer.layer]}</span>
      </div>
      <div className="layer-fresh" title={layer.freshness_ms == null ? undefined : `${format.exact(layer.freshness_ms)} ms`}>
        {layer.freshness_ms == null ? (
          <small>nothing yet</small>
        ) : (
          <>
            {format.duration(layer.freshness_ms)} <small>behind</small>
          </>
        )}
      </div>
      <div className="layer-facts">
        {format.count(layer.tables, 'table')}, <Num value={layer.rows} /> rows, <Bytes value={layer.bytes} />
        {layer.failing > 0 && (
          <>
            {' '}
            <Status state="failed" word={`${layer.failing} failing`} />
          </>
        )}
      </div>
    </Link>
  );
}

function Recent() {
  const { data: saved } = useQuery(savedQueries);
  const { data: runs } = useQuery(queryRuns(200));
  const asked = listed(runs ?? [], kept())
    .filter((run) => run.client === 'http' && !isEcho(run.query))
    .slice(0, 5);
  return (
    <>
      <Section title="Saved queries" aside={<Link to="/sql">Open SQL</Link>}>
        {saved?.length === 0 && <p className="muted">Queries that you save appear here.</p>}
        <ul className="plain-list">
          {saved?.slice(0, 5).map((query) => (
            <li key={query.id}>
              <Link to="/sql" search={{ saved: query.id } as never} className="clip">
                {query.name}
              </Link>
              <Ago us={query.updated_us} />
            </li>
          ))}
        </ul>
      </Section>
      <Section title="Recent queries">
        {asked.length === 0 && <p className="muted">Queries that were run appear here.</p>}
        <ul className="plain-list">
          {asked.map((run) => (
            <li key={run.id}>
              <Link {...sqlWith(run.query)} className="clip mono" title={run.query}>
                {run.query.replace(/\s+/g, ' ')}
              </Link>
              <span>
                {run.state === 'done' ? format.duration(run.elapsed_ms) : <Status state={run.state} word={run.queue_position == null ? undefined : `${format.ordinal(run.queue_position)} in the queue`} />}
              </span>
            </li>
          ))}
        </ul>
      </Section>
    </>
  );
}

const FIRST_CONFIG = `sources:
  shop:
    type: postgres
    url: \${SHOP_URL}
    tables: ["public.*"]`;

function FirstRun() {
  return (
    <div className="page">
      <h1 className="visually-hidden">Overview</h1>
      <Empty icon={IconPlugConnected} title="Nothing flows yet">
        <p>
          Name a source in <code>lakebox.yaml</code> and start lakebox again. Its tables are copied first and then followed change by change.
        </p>
        <Code text={FIRST_CONFIG} label="A first source" />
        <p style={{ marginTop: 12 }}>
          To look around first, <code>lakebox demo</code> brings its own data.
        </p>
      </Empty>
    </div>
  );
}
