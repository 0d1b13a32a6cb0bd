import { type RefObject, useEffect, useState } from 'react';
import { estimateSql } from '@/api/sql';
import type { SqlEstimate } from '@/api/types';
import type { EditorHandle } from './Editor';

/** Typing settles for so long before the server is asked. */
const SETTLED_MS = 500;

/** What the statement at the cursor would read, asked anew when `query` changes; nothing while it can't be planned. */
export function useEstimate(editor: RefObject<EditorHandle | null>, query: string): SqlEstimate | undefined {
  const [estimate, setEstimate] = useState<SqlEstimate>();
  useEffect(() => {
    setEstimate(undefined);
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const chosen = editor.current?.chosen()?.query;
      if (!chosen) return;
      // A statement that is half written can't be planned, which is no news to its writer.
      estimateSql(chosen, stop.signal).then(setEstimate, () => undefined);
    }, SETTLED_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [editor, query]);
  return estimate;
}
