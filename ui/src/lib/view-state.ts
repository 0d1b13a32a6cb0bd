import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback } from 'react';

export type Search = Record<string, unknown>;

/** One text of the URL's search, or what stands for "not given". */
export const text = (search: Search, name: string, fallback = ''): string => {
  const value = search[name];
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : fallback;
};

/** One of a closed list, or the first of it. */
export function oneOf<T extends string>(search: Search, name: string, options: readonly [T, ...T[]]): T {
  return options.find((option) => option === search[name]) ?? options[0];
}

/**
 * The view state that a page keeps in the URL. Setting replaces the history entry while one types and filters (`push` makes a new one, so that Back undoes it);
 * values that are undefined or empty leave the URL.
 */
export function useViewState(): [Search, (change: Search, how?: { push?: boolean }) => void] {
  const search: Search = useSearch({ strict: false });
  const navigate = useNavigate();
  const set = useCallback(
    (change: Search, how?: { push?: boolean }) => {
      void navigate({
        to: '.',
        replace: !how?.push,
        resetScroll: false,
        search: ((old: Search) =>
          Object.fromEntries(Object.entries({ ...old, ...change }).filter(([, value]) => value !== undefined && value !== ''))) as never,
      });
    },
    [navigate],
  );
  return [search, set];
}
