import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { Live, type LiveState } from '@/api/live';

/** Opens the stream of live values while the frame is on the page. */
export function useLive(): { state: LiveState; retry: () => void } {
  const cache = useQueryClient();
  const [live] = useState(() => new Live(cache));
  useEffect(() => {
    live.open();
    return live.close;
  }, [live]);
  return { state: useSyncExternalStore(live.subscribe, live.current), retry: live.open };
}
