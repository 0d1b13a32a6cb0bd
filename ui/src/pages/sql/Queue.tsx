import { ActionIcon, Button } from '@mantine/core';
import { IconPlayerStop } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { problemOf } from '@/api/client';
import { actions } from '@/api/queries';
import type { QueryRun } from '@/api/types';
import { failed, said } from '@/components/notify';
import { Notice } from '@/components/parts';
import { Status } from '@/components/status';
import * as format from '@/lib/format';
import { useNow } from '@/lib/clock';
import type { Place } from './use-queue';

/** The runs of models belong to the models' pages. */
export const ofModel = (run: Pick<QueryRun, 'client'>): string | undefined => (run.client.startsWith('model:') ? run.client.slice('model:'.length) : undefined);

const CLIENTS: Record<string, string> = { http: 'HTTP', pgwire: 'PostgreSQL port', flight: 'Flight SQL' };
const whose = (run: QueryRun): string => {
  const model = ofModel(run);
  return model ? `Model ${model}` : (CLIENTS[run.client] ?? run.client);
};

/** Where a statement waits, what it waits for, and the way out. */
export function Waiting({ place, onCancel }: { place: Place; onCancel: () => void }) {
  return (
    <div className="pad">
      <div role="status">
        <Notice tone="calm" title={`${format.ordinal(place.position)} in the queue`} actions={<Button leftSection={<IconPlayerStop size={13} />} onClick={onCancel}>Cancel</Button>}>
          {place.running.length > 0 ? `${format.count(place.running.length, 'query runs', 'queries run')} now, ${format.count(place.waiting, 'waits', 'wait')}.` : 'Every place to run is taken.'} It starts by itself when its turn comes. Light
          queries go first, and nobody takes all places, so the number can also grow.
        </Notice>
      </div>
      {place.running.length > 0 && (
        <section className="sql-running" aria-label="Running now">
          <h3>Running now</h3>
          <ul className="plain-list">
            {place.running.map((run) => (
              <li key={run.id}>
                <span className="mono clip" title={run.query}>
                  {run.query.replace(/\s+/g, ' ')}
                </span>
                <span className="row nowrap muted">
                  {whose(run)} · <Since run={run} /> · {format.bytes(run.bytes_scanned)} <CancelOther run={run} />
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

/** How long a statement has run, ticking. */
function Since({ run }: { run: QueryRun }) {
  const now = useNow();
  const ms = Math.max(run.elapsed_ms, now - run.started_us / 1000);
  return <>{format.duration(Math.round(ms / 1000) * 1000)}</>;
}

/** Ends a statement that waits or runs, whoever started it; a model's run can't be ended here. */
export function CancelOther({ run, className }: { run: QueryRun; className?: string }) {
  const cache = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => actions.cancelQuery(run.id),
    onSuccess: () => said('The query is cancelled.'),
    onError: (error) => failed('Could not cancel the query', problemOf(error)),
    onSettled: () => cache.invalidateQueries({ queryKey: ['queries'] }),
  });
  if (ofModel(run) !== undefined) return null;
  const label = `Cancel ${format.middle(run.query.replace(/\s+/g, ' '), 60)}`;
  return (
    <ActionIcon size={22} className={className} aria-label={label} title="Cancel this query" loading={cancel.isPending} onClick={() => cancel.mutate()}>
      <IconPlayerStop size={13} />
    </ActionIcon>
  );
}

/** `2nd in the queue`, `Running`, … */
export const QueryState = ({ run }: { run: QueryRun }) =>
  run.state === 'waiting' && run.queue_position != null ? <Status state="waiting" word={`${format.ordinal(run.queue_position)} in the queue`} /> : <Status state={run.state} />;
