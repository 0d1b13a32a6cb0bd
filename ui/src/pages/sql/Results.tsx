import { Button, SegmentedControl } from '@mantine/core';
import { IconAlertTriangle, IconDownload, IconPlayerPlay, IconTerminal2 } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useMutation } from '@tanstack/react-query';
import { Suspense, lazy } from 'react';
import { problemOf } from '@/api/client';
import { downloadCsv } from '@/api/sql';
import { Grid } from '@/components/grid/Grid';
import { failed } from '@/components/notify';
import { Empty, Failure, Notice } from '@/components/parts';
import { Bone, TableBones } from '@/components/skeleton';
import * as format from '@/lib/format';
import { useNow } from '@/lib/clock';
import type { ResultSet } from '@/lib/result/result';
import { placeOf, quoted, sqlWith } from '@/lib/places';
import { changesData, targetOf } from '@/lib/statements';
import { Waiting } from './Queue';
import type { ChartChoice } from './chart-of';
import { type Outcome, headlineOf, outcomeOf } from './outcome';
import { useQueue } from './use-queue';
import type { Run } from './use-runs';

const ResultChart = lazy(() => import('./ResultChart').then((module) => ({ default: module.ResultChart })));

export type View = 'rows' | 'chart';

interface Props {
  run: Run | undefined;
  view: View;
  chart: ChartChoice | undefined;
  maxRows: number;
  /** Where in the tab's text the problem is. */
  place: { line: number; column: number } | undefined;
  onView: (view: View) => void;
  onChart: (choice: ChartChoice) => void;
  onGoTo: () => void;
  onRetry: () => void;
  onCancel: () => void;
  /** Opens the list of what runs and ran. */
  onHistory: () => void;
}

/** What came of the last run: its rows, a chart of them, or why there are none. */
export function Results({ run, view, chart, maxRows, place, onView, onChart, onGoTo, onRetry, onCancel, onHistory }: Props) {
  const queue = useQueue(run);
  if (!run) {
    return (
      <div className="sql-result">
        <Empty icon={IconTerminal2} title="Write a query and run it">
          Ctrl Enter runs the statement at the cursor, or what is selected. Tables, columns and functions complete as you type.
        </Empty>
      </div>
    );
  }
  const { answer } = run;
  const outcome = answer && run.state === 'done' ? outcomeOf(run.query, answer.result) : undefined;
  const shown = answer && run.state !== 'failed' && !outcome;
  const inGrid = shown && view === 'rows' && answer.result.columns.length > 0 && !isPlan(answer.result);
  const facts = <Foot run={run} view={view} maxRows={maxRows} plain={outcome !== undefined} waits={queue !== undefined} onView={onView} />;
  return (
    <div className="sql-result">
      {run.made && <Made run={run} />}
      {run.state === 'failed' && run.problem && !run.made && (
        <div className="pad">
          <Failure problem={run.problem} onRetry={onRetry} />
          {place && (
            <Button mt={8} onClick={onGoTo}>
              Go to line {place.line}, column {place.column}
            </Button>
          )}
          {run.problem.code === 'sql.busy' && (
            <Button mt={8} onClick={onHistory}>
              See what runs
            </Button>
          )}
        </div>
      )}
      {run.state === 'cancelled' && !run.made && (
        <div className="pad">
          <Notice tone="calm" title="Cancelled" actions={<Button leftSection={<IconPlayerPlay size={13} />} onClick={onRetry}>Run again</Button>}>
            After {format.duration(run.elapsedMs)}
            {changesData(run.query) ? (run.facts?.state === 'cancelled' ? ', and nothing was changed.' : '.') : answer ? `, with ${format.count(answer.result.rowCount, 'row')} so far.` : '.'}
          </Notice>
        </div>
      )}
      {queue && <Waiting place={queue} onCancel={onCancel} />}
      {run.state === 'running' && !answer && !queue && (
        <div className="pad" role="status" aria-label="Running">
          <TableBones rows={6} />
        </div>
      )}
      {outcome && <Changed run={run} outcome={outcome} />}
      {shown && (
        <div className="fill">
          {view === 'chart' ? (
            <Suspense fallback={<Bone height={340} />}>
              <ResultChart result={answer.result} choice={chart} onChoose={onChart} />
            </Suspense>
          ) : isPlan(answer.result) ? (
            <pre className="sql-plan">{planOf(answer.result)}</pre>
          ) : answer.result.columns.length === 0 ? (
            <Empty icon={IconTerminal2} title="Done">
              The statement returned no columns.
            </Empty>
          ) : (
            <Grid label="Result" result={answer.result} growing={run.state === 'running'} foot={facts} />
          )}
        </div>
      )}
      {!inGrid && <div className="grid-foot">{facts}</div>}
    </div>
  );
}

/** What a statement changed, and where to look at it. */
function Changed({ run, outcome }: { run: Run; outcome: Outcome }) {
  const none = outcome.rows === 0 && outcome.command !== 'SELECT';
  return (
    <div className="pad" role="status">
      <Notice tone={none ? 'calm' : 'ok'} title={headlineOf(outcome)} actions={<Look query={run.query} />}>
        {none ? 'The table is as it was: no row met the conditions.' : 'It holds from now on, for everybody.'}
      </Notice>
    </div>
  );
}

/** A change that was made although no answer came. */
function Made({ run }: { run: Run }) {
  return (
    <div className="pad">
      <Notice tone="warn" title="The change was made, only its answer is missing" hint="Look at the table before you run it again." actions={<Look query={run.query} />}>
        {run.state === 'cancelled' ? 'It had ended before it could be cancelled.' : run.problem?.detail}
      </Notice>
    </div>
  );
}

/** Ways to the table that a statement changed. */
function Look({ query }: { query: string }) {
  const target = targetOf(query);
  const place = target && placeOf(`${target.layer}.${target.name}`);
  if (!target || !place) return null;
  return (
    <>
      <Button component={Link} {...(sqlWith(`select * from ${quoted(target.layer)}.${quoted(target.name)} limit 100`) as object)}>
        Query it
      </Button>
      <Button component={Link} {...(place as object)}>
        Open table
      </Button>
    </>
  );
}

/** Whether a result is the tree that EXPLAIN draws, whose lines belong together. */
const isPlan = (result: ResultSet) => result.columns.length === 1 && result.columns[0]?.name === 'QUERY PLAN';

const planOf = (result: ResultSet) => Array.from({ length: result.rowCount }, (_, row) => result.text(0, row) ?? '').join('\n');

interface FootProps {
  run: Run;
  view: View;
  maxRows: number;
  /** There are no rows to choose a view of, count or download. */
  plain: boolean;
  waits: boolean;
  onView: (view: View) => void;
}

function Foot({ run, view, maxRows, plain, waits, onView }: FootProps) {
  const download = useMutation({
    mutationFn: async () => saveAs(await downloadCsv(run.query), 'result.csv'),
    onError: (error) => failed('Could not download the result', problemOf(error)),
  });
  const { facts } = run;
  const answer = plain ? undefined : run.answer;
  return (
    <>
      {answer && (
        <SegmentedControl
          aria-label="View of the result"
          value={view}
          data={[
            { value: 'rows', label: 'Rows' },
            { value: 'chart', label: 'Chart' },
          ]}
          onChange={(next) => onView(next as View)}
        />
      )}
      {run.state === 'running' ? <Elapsed run={run} waits={waits} /> : <span title="From asking to the last row here">{format.duration(facts?.elapsed_ms ?? run.elapsedMs)}</span>}
      {answer && !answer.truncated && <span title={format.exact(answer.result.rowCount)}>{format.count(answer.result.rowCount, 'row')}</span>}
      {answer?.truncated && (
        <span className="status" data-tone="warn" title="Raise the limit beside Run, or download the CSV, which has every row.">
          <IconAlertTriangle size={14} aria-hidden /> only the first {format.exact(maxRows)} rows; the CSV has all
        </span>
      )}
      {facts && (facts.bytes_scanned > 0 || run.state === 'done') && (
        <span title={`${format.exactBytes(facts.bytes_scanned)} of data files were read, worth ${format.dollars(facts.cost_usd)} at server.query_price_per_tb. Nothing is billed.`}>
          {format.bytes(facts.bytes_scanned)} read · {format.dollars(facts.cost_usd)}
        </span>
      )}
      {answer && answer.asOf.length > 0 && (
        <span className="clip" title={answer.asOf.map((seen) => `${seen.source} at ${seen.cursor}${seen.commit_ts_us ? `, committed ${format.exactTime(seen.commit_ts_us)}` : ''}`).join('\n')}>
          as of {answer.asOf.map((seen) => `${seen.source} ${seen.cursor}`).join(', ')}
        </span>
      )}
      {answer && !changesData(run.query) && (
        <Button ml="auto" style={{ order: 2 }} leftSection={<IconDownload size={14} />} loading={download.isPending} onClick={() => download.mutate()}>
          CSV
        </Button>
      )}
    </>
  );
}

function Elapsed({ run, waits }: { run: Run; waits: boolean }) {
  const now = useNow();
  return <span role="timer">{waits ? 'Waiting' : 'Running'} for {format.duration(Math.max(0, Math.round((now - run.startedMs) / 1000) * 1000))}</span>;
}

function saveAs(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
