import { Suspense, lazy } from 'react';
import { Bone } from '../skeleton';
import type { ChartSpec } from './spec';

export type { ChartSpec, Series } from './spec';

const Drawing = lazy(() => import('./drawing'));

/** A chart. `label` says in words what it shows, for those who don't see it. The drawing library is fetched with the first chart. */
export function Chart({ spec, height = 200, label }: { spec: ChartSpec; height?: number; label: string }) {
  return (
    <div role="img" aria-label={label} style={{ height }} className="live">
      <Suspense fallback={<Bone height={height} />}>
        <Drawing spec={spec} height={height} />
      </Suspense>
    </div>
  );
}
