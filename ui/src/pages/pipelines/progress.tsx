import { useRef } from 'react';
import type { Snapshot } from '@/api/types';
import { Bar } from '@/components/parts';
import * as format from '@/lib/format';

/** Progress of the first copy: rows, bytes and the time left at the pace seen so far. */
export function SnapshotProgress({ snapshot }: { snapshot: Snapshot }) {
  const first = useRef({ at: Date.now(), rows: snapshot.rows_done });
  const seconds = (Date.now() - first.current.at) / 1000;
  const pace = seconds > 3 ? (snapshot.rows_done - first.current.rows) / seconds : 0;
  const estimate = snapshot.rows_estimate;
  const share = estimate ? snapshot.rows_done / estimate : snapshot.tables_done / Math.max(1, snapshot.tables_total);
  const left = estimate && pace > 0 ? ((estimate - snapshot.rows_done) / pace) * 1000 : undefined;
  return (
    <div>
      <div className="row wrap muted" style={{ marginBottom: 6, fontSize: 'var(--t12)' }}>
        <span>
          Copying: {format.number(snapshot.rows_done)}
          {estimate ? ` of about ${format.number(estimate)}` : ''} rows, {format.bytes(snapshot.bytes_done)}, {snapshot.tables_done} of {format.count(snapshot.tables_total, 'table')}
        </span>
        {left !== undefined && left > 0 && <span style={{ marginLeft: 'auto' }}>about {format.duration(left)} left</span>}
      </div>
      <Bar share={share} label="Rows copied" />
    </div>
  );
}
