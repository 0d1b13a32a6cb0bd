import { useRef, useState } from 'react';

const KEY = 'lakebox.sql.split';
const clamp = (height: number) => Math.max(80, Math.min(innerHeight - 240, height));

/** The editor's height, by a bar that one drags or moves with the arrow keys. */
export function useSplit() {
  const [height, setHeight] = useState(() => clamp(Number(localStorage.getItem(KEY)) || Math.min(240, innerHeight * 0.3)));
  const start = useRef<{ y: number; height: number }>(undefined);
  const keep = (next: number) => {
    setHeight(clamp(next));
    localStorage.setItem(KEY, String(Math.round(clamp(next))));
  };
  return {
    height,
    splitter: {
      className: 'sql-split',
      role: 'separator',
      'aria-orientation': 'horizontal' as const,
      'aria-label': 'Height of the editor',
      'aria-valuenow': Math.round(height),
      'aria-valuemin': 80,
      'aria-valuemax': Math.round(innerHeight - 240),
      tabIndex: 0,
      onPointerDown: (event: React.PointerEvent) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        start.current = { y: event.clientY, height };
      },
      onPointerMove: (event: React.PointerEvent) => {
        if (start.current) keep(start.current.height + event.clientY - start.current.y);
      },
      onPointerUp: () => {
        start.current = undefined;
      },
      onKeyDown: (event: React.KeyboardEvent) => {
        if (event.key === 'ArrowUp') keep(height - 24);
        else if (event.key === 'ArrowDown') keep(height + 24);
        else return;
        event.preventDefault();
      },
    },
  };
}
