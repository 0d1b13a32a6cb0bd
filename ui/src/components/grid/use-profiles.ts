import { useEffect, useState } from 'react';
import { type Profile, profile } from '@/lib/result/profile';
import type { ResultSet } from '@/lib/result/result';

/** Profiles of wide results stop here; the columns after are profiled by nobody looking at them. */
const COLUMNS_MAX = 60;

// Not every browser has idle callbacks; a short pause lets it draw just as well.
const whenIdle: (work: () => void) => () => void =
  'requestIdleCallback' in globalThis
    ? (work) => {
        const handle = requestIdleCallback(work);
        return () => cancelIdleCallback(handle);
      }
    : (work) => {
        const handle = setTimeout(work, 16);
        return () => clearTimeout(handle);
      };

/** Profiles of a finished result's columns, made one by one while the browser is idle. */
export function useProfiles(result: ResultSet, growing: boolean): Record<number, Profile> {
  const [made, setMade] = useState<{ of: ResultSet; profiles: Record<number, Profile> }>();
  useEffect(() => {
    if (growing || result.rowCount === 0) return;
    let column = 0;
    let cancel = () => {};
    const profiles: Record<number, Profile> = {};
    const work = () => {
      profiles[column] = profile(result, column);
      column += 1;
      const more = column < Math.min(result.columns.length, COLUMNS_MAX);
      if (!more || column % 2 === 0) setMade({ of: result, profiles: { ...profiles } });
      if (more) cancel = whenIdle(work);
    };
    cancel = whenIdle(work);
    return () => cancel();
  }, [result, growing]);
  return made?.of === result ? made.profiles : {};
}
