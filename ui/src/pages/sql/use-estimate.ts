import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import { estimateSql } from '@/api/sql';
import type { SqlEstimate } from '@/api/types';
import { changesData } from '@/lib/statements';
import type { EditorHandle } from './Editor';

/** Typing settles for so long before the server is asked. */
const SETTLED_MS = 500;

/** What is known of a statement before it runs. */
export interface Ahead {
  /** It changes something: there is no estimate, and it can't be tried out. */
  changes: boolean;
  /** What it would read. */
  estimate?: SqlEstimate;
}

/** What the statement at the cursor would do, looked at anew when `look` is called and it is another one; nothing while it can't be planned. */
export function useEstimate(editor: RefObject<EditorHandle | null>, tab: string | undefined): { ahead: Ahead | undefined; look: () => void } {
  const [ahead, setAhead] = useState<Ahead>();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const stop = useRef<AbortController>(undefined);
  const asked = useRef<string>(undefined);

  const look = useCallback(() => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      const chosen = editor.current?.chosen()?.query;
      if (chosen === asked.current) return;
      asked.current = chosen;
      stop.current?.abort();
      const changes = chosen !== undefined && changesData(chosen);
      setAhead({ changes });
      if (!chosen || changes) return;
      const abort = new AbortController();
      stop.current = abort;
      // A statement that is half written can't be planned, which is no news to its writer.
      estimateSql(chosen, abort.signal).then(
        (estimate) => !abort.signal.aborted && estimate && setAhead({ changes, estimate }),
        () => undefined,
      );
    }, SETTLED_MS);
  }, [editor]);

  // Another tab brings another statement without a key being pressed.
  useEffect(look, [look, tab]);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      stop.current?.abort();
      asked.current = undefined;
    },
    [],
  );
  return { ahead, look };
}
