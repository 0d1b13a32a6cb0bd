import { Button, SegmentedControl } from '@mantine/core';
import { IconAlertTriangle, IconDownload, IconPlayerPlay, IconTerminal2 } from '@tabler/icons-react';
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
import type { ChartChoice } from './chart-of';
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
}

/** What came of the last run: its rows, a chart of them, or why there are none. */
export function Results({ run, view, chart, maxRows, place, onView, onChart, onGoTo, onRetry }: Props) {
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
  const shown = answer && run.state !== 'failed';
  const inGrid = shown && view === 'rows' && answer.result.columns.length > 0 && !isPlan(answer.result);
  const facts = <Foot run={run} view={view} maxRows={maxRows} onView={onView} />;
  return (
    <div className="sql-result">
      {run.state === 'failed' && run.problem && (
        <div className="pad">
          <Failure problem={run.problem} onRetry={onRetry} />
          {place && (
            <Button mt={8} onClick={onGoTo}>
              Go to line {place.line}, column {place.column}
            </Button>
          )}
        </div>
      )}
      {run.state === 'cancelled' && (
        <div className="pad">
          <Notice tone="calm" title="Cancelled" actions={<Button leftSection={<IconPlayerPlay size={13} />} onClick={onRetry}>Run again</Button>}>
            After {format.duration(run.elapsedMs)}
            {answer ? `, with ${format.count(answer.result.rowCount, 'row')} so far.` : '.'}
          </Notice>
        </div>
      )}
      {run.state === 'running' && !answer && (
        <div className="pad" role="status" aria-label="Running">
          <TableBones rows={6} />
        </div>
      )}
      {shown && (
        <>
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
        </>
      )}
      {!inGrid && <div className="grid-foot">{facts}</div>}
    </div>
  );
}

/** Whether a result is the tree that EXPLAIN draws, whose lines belong together. */
const isPlan = (result: ResultSet) => result.columns.length === 1 && result.columns[0]?.name === 'QUERY PLAN';

const planOf = (result: ResultSet) => Array.from({ length: result.rowCount }, (_, row) => result.text(0, row) ?? '').join('\n');

function Foot({ run, view, maxRows, onView }: { run: Run; view: View; maxRows: number; onView: (view: View) => void }) {
  const download = useMutation({
    mutationFn: async () => saveAs(await downloadCsv(run.query), 'result.csv'),
    onError: (error) => failed('Could not download the result', problemOf(error)),
  });
  const { answer, facts } = run;
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
      {run.state === 'running' ? <Elapsed run={run} /> : <span title="From asking to the last row here">{format.duration(facts?.elapsed_ms ?? run.elapsedMs)}</span>}
      {answer && !answer.truncated && <span title={format.exact(answer.result.rowCount)}>{format.count(answer.result.rowCount, 'row')}</span>}
      {answer?.truncated && (
        <span className="status" data-tone="warn" title="Raise the limit beside Run, or download the CSV, which has every row.">
          <IconAlertTriangle size={14} aria-hidden /> only the first {format.exact(maxRows)} rows; the CSV has all
        </span>
      )}
      {facts && <span title={`${format.exactBytes(facts.bytes_scanned)} of data files were read, worth ${format.dollars(facts.cost_usd)}`}>{format.bytes(facts.bytes_scanned)} scanned · {format.dollars(facts.cost_usd)}</span>}
      {answer && answer.asOf.length > 0 && (
        <span className="clip" title={answer.asOf.map((seen) => `${seen.source} at ${seen.cursor}${seen.commit_ts_us ? `, committed ${format.exactTime(seen.commit_ts_us)}` : ''}`).join('\n')}>
          as of {answer.asOf.map((seen) => `${seen.source} ${seen.cursor}`).join(', ')}
        </span>
      )}
      {answer && (
        <Button ml="auto" style={{ order: 2 }} leftSection={<IconDownload size={14} />} loading={download.isPending} onClick={() => download.mutate()}>
          CSV
        </Button>
      )}
    </>
  );
}

function Elapsed({ run }: { run: Run }) {
  const now = useNow();
  return <span role="timer">Running for {format.duration(Math.max(0, Math.round((now - run.startedMs) / 1000) * 1000))}</span>;
}

function saveAs(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
