import { Tooltip } from '@mantine/core';
import { IconCircleFilled, IconLoader2, IconPlugConnectedX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { LiveState } from '@/api/live';
import { overview, pipelines } from '@/api/queries';
import * as format from '@/lib/format';

/** Above this age what queries see is called behind, in milliseconds. */
const BEHIND_MS = 30_000;

/** How fresh what one sees is. On hover: where each pipeline stands. */
export function Freshness({ state, onRetry }: { state: LiveState; onRetry: () => void }) {
  const { data: flows = [] } = useQuery({ ...pipelines, enabled: false });
  const { data: now } = useQuery({ ...overview, enabled: false });
  if (state.kind === 'connecting') {
    return (
      <span className="pill">
        <IconLoader2 size={13} className="spin" aria-hidden /> Connecting
      </span>
    );
  }
  if (state.kind === 'dropped') {
    return (
      <button type="button" className="pill" data-tone="bad" onClick={onRetry} title="Retry now">
        <IconPlugConnectedX size={14} aria-hidden /> Since {format.clock(state.since * 1000)}
      </button>
    );
  }
  const lags = flows.flatMap((flow) => flow.lag_ms ?? []);
  const worst = lags.length > 0 ? Math.max(...lags) : undefined;
  const behind = worst !== undefined && worst > BEHIND_MS;
  const word = worst === undefined ? 'Live' : behind ? `${format.duration(worst)} behind` : worst < 1000 ? 'Fresh' : `Fresh, ${format.duration(worst)}`;
  return (
    <Tooltip
      label={
        <div>
          <div>As of {format.clock(now?.at_us)}</div>
          {flows.slice(0, 12).map((flow) => (
            <div key={flow.name}>
              <strong>{flow.name}</strong> {flow.lag_ms == null ? flow.state : format.duration(flow.lag_ms)}{' '}
              <span className="mono">{flow.cursor ? `at ${flow.cursor}` : ''}</span>
            </div>
          ))}
          {flows.length > 12 && <div>and {flows.length - 12} more</div>}
        </div>
      }
    >
      <span className="pill" data-tone={behind ? 'warn' : 'ok'} tabIndex={0}>
        <IconCircleFilled size={8} aria-hidden /> {word}
      </span>
    </Tooltip>
  );
}
