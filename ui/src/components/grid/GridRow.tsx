import { memo } from 'react';
import type { ResultSet } from '@/lib/result/result';
import type { Spot } from './selection';

/** Where a column is drawn; `at` is its place among all columns, `left` where a pinned one sticks. */
interface Place {
  column: number;
  at: number;
  width: number;
  left: number | undefined;
}

/** The columns that are drawn, the same for every row. */
export interface Layout {
  fixed: Place[];
  moving: Place[];
  /** Width of what is scrolled out at the left. */
  lead: number;
  total: number;
}

interface Props {
  result: ResultSet;
  /** Place on screen, and which row of the result stands there. */
  index: number;
  row: number;
  top: number;
  layout: Layout;
  /** The selected columns, where the selection reaches this row. */
  from: number | undefined;
  to: number | undefined;
  /** The active cell, where it is in this row. */
  here: number | undefined;
}

const TEXT_MAX = 400;

/** One row. Draws again only when what it shows changes. */
export const GridRow = memo(function GridRow({ result, index, row, top, layout, from, to, here }: Props) {
  const cell = ({ column, at, width, left }: Place) => {
    const text = result.text(column, row);
    return (
      <div
        key={column}
        role="gridcell"
        aria-colindex={at + 2}
        id={here === at ? 'grid-at' : undefined}
        className={left === undefined ? 'grid-cell' : 'grid-cell grid-pinned'}
        style={{ width, left }}
        data-kind={result.columns[column]?.kind}
        data-null={text === null || undefined}
        data-in={(from !== undefined && to !== undefined && at >= from && at <= to) || undefined}
        data-here={here === at || undefined}
        data-spot={`${index} ${at}`}
      >
        {text === null ? 'NULL' : text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text}
      </div>
    );
  };
  return (
    <div className="grid-row" role="row" aria-rowindex={index + 2} style={{ width: layout.total, transform: `translateY(${top}px)` }}>
      <div className="grid-no" role="rowheader" aria-colindex={1}>
        {row + 1}
      </div>
      {layout.fixed.map(cell)}
      <div style={{ width: layout.lead, flex: 'none' }} role="presentation" />
      {layout.moving.map(cell)}
    </div>
  );
});

/** The cell that an event hit: rows share their listeners, so that none has to be made for a cell. */
export function spotOf(target: EventTarget): Spot | undefined {
  const spot = target instanceof Element ? target.closest<HTMLElement>('[data-spot]')?.dataset.spot : undefined;
  const [row, at] = spot?.split(' ').map(Number) ?? [];
  return row === undefined || at === undefined ? undefined : { row, at };
}
