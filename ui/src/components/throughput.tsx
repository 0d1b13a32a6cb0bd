import { useMemo } from 'react';
import type { ThroughputPoint } from '@/api/types';
import * as format from '@/lib/format';
import { ceilingOf } from '@/lib/scale';
import { Chart, type ChartSpec } from './chart';

const WINDOW_MS = 600_000;
const WINDOW_MIN_MS = 60_000;
/** Longer silence than this between two points is a gap and is drawn as one. */
const GAP_MS = 2_500;

type Value = (point: ThroughputPoint) => number | null;

/** The points as a line, with a hole wherever seconds are missing. */
export function withGaps(points: ThroughputPoint[], value: Value): [number, number | null][] {
  const line: [number, number | null][] = [];
  let before: number | undefined;
  for (const point of points) {
    const at = point.at_us / 1000;
    if (before !== undefined && at - before > GAP_MS) line.push([before + 1000, null]);
    line.push([at, value(point)]);
    before = at;
  }
  return line;
}

/** Changes per second over the last ten minutes. */
export function ThroughputChart({ points, height = 190 }: { points: ThroughputPoint[]; height?: number }) {
  const ceiling = useMemo(() => ceilingOf(points.map((point) => point.rows)), [points]);
  const unit = ceiling === undefined ? 'changes/s' : `changes/s${beyond(points)}`;
  const spec = useTimeSpec(points, 'Changes', (point) => point.rows, 'area', (value) => format.number(value), unit, 0, ceiling);
  const last = points.at(-1);
  return <Chart spec={spec} height={height} label={`Changes per second over the last ten minutes, now ${format.number(last?.rows)}; in ${unit}`} />;
}

/** What the axis leaves out, in words. */
function beyond(points: ThroughputPoint[]): string {
  const peak = points.reduce((top, point) => (point.rows > top.rows ? point : top));
  return `, without the peak of ${format.number(peak.rows)} at ${format.clock(peak.at_us)}`;
}

/** Lag over the last ten minutes. */
export function LagChart({ points, height = 150 }: { points: ThroughputPoint[]; height?: number }) {
  const spec = useTimeSpec(points, 'Lag', (point) => point.lag_ms ?? null, 'area', format.duration, undefined, 1);
  return <Chart spec={spec} height={height} label={`Lag over the last ten minutes, now ${format.duration(points.at(-1)?.lag_ms)}`} />;
}

function useTimeSpec(points: ThroughputPoint[], name: string, value: Value, kind: 'line' | 'area', text: (value: number) => string, yName?: string, color = 0, yMax?: number): ChartSpec {
  return useMemo(() => {
    const end = (points.at(-1)?.at_us ?? Date.now() * 1000) / 1000;
    const begin = (points[0]?.at_us ?? 0) / 1000;
    return {
      x: 'time',
      // A young process has no ten minutes to show: the axis grows with what there is.
      xMin: Math.max(end - WINDOW_MS, Math.min(begin, end - WINDOW_MIN_MS)),
      xMax: end,
      format: text,
      formatX: (x) => format.clock(Number(x) * 1000),
      ...(yName ? { yName } : {}),
      ...(yMax === undefined ? {} : { yMax }),
      series: [{ name, kind, points: withGaps(points, value), color }],
    };
    // `value` and `text` are fixed by the two charts above.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [points, name, kind, yName, color, yMax]);
}
