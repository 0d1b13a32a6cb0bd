import './grid.css';
import { ActionIcon } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import * as format from '@/lib/format';
import { type Filters, type Sort, arrange } from '@/lib/result/arrange';
import type { ResultSet } from '@/lib/result/result';
import { CopyButton } from '../parts';
import { GridRow, type Layout, spotOf } from './GridRow';
import { HeaderCell } from './HeaderCell';
import { type Range, type Spot, moved, rangeOf, tsv } from './selection';
import { useProfiles } from './use-profiles';

const ROW = 28;
const HEAD = 58;
const NUMBERS = 60;
const OVERSCAN = 8;
const COPY_CELLS_MAX = 2_000_000;

export interface GridProps {
  label: string;
  result: ResultSet;
  /** More rows are still coming. */
  growing?: boolean;
  /** Facts about the result, at the left of the foot. */
  foot?: ReactNode;
}

/**
 * Rows of a result: any number of them scrolls smoothly, because only what is in sight exists. Columns resize, sort, filter and pin; a range of
 * cells copies as TSV; long values, JSON and lists open beside the rows.
 */
export function Grid({ label, result, growing = false, foot }: GridProps) {
  const box = useRef<HTMLDivElement>(null);
  const [sort, setSort] = useState<Sort>();
  const [filters, setFilters] = useState<Filters>({});
  const [pinned, setPinned] = useState<number[]>([]);
  const [sizes, setSizes] = useState<Record<number, number>>({});
  const [range, setRange] = useState<Range>();
  const [peek, setPeek] = useState(false);
  const [copied, setCopied] = useState<number>();

  // Another shape of result is another table: what was arranged for the old one means nothing for it.
  const shape = result.columns.map((column) => `${column.name} ${column.type}`).join('\n');
  const [seenShape, setSeenShape] = useState(shape);
  if (seenShape !== shape) {
    setSeenShape(shape);
    setSort(undefined);
    setFilters({});
    setPinned([]);
    setSizes({});
    setRange(undefined);
    setPeek(false);
  }

  const order = useMemo(() => arrange(result, sort, filters), [result, sort, filters]);
  const rowCount = order ? order.length : result.rowCount;
  const filtered = rowCount !== result.rowCount;
  const rowAt = useCallback((index: number) => (order ? (order[index] ?? 0) : index), [order]);
  const profiles = useProfiles(result, growing);
  const guessed = useMemo(() => guessWidths(result), [shape, result.rowCount === 0]); // eslint-disable-line react-hooks/exhaustive-deps
  const widthOf = useCallback((column: number) => sizes[column] ?? guessed[column] ?? 120, [sizes, guessed]);

  const loose = useMemo(() => result.columns.map((_, column) => column).filter((column) => !pinned.includes(column)), [result.columns, pinned]);
  const sequence = useMemo(() => [...pinned, ...loose], [pinned, loose]);
  const pinnedWidth = pinned.reduce((sum, column) => sum + widthOf(column), 0);

  const rows = useVirtualizer({ count: rowCount, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: OVERSCAN, paddingStart: HEAD, scrollPaddingStart: HEAD });
  const columns = useVirtualizer({
    horizontal: true,
    count: loose.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => widthOf(loose[index] ?? 0),
    overscan: 3,
    paddingStart: NUMBERS + pinnedWidth,
    scrollPaddingStart: NUMBERS + pinnedWidth,
  });
  useEffect(() => columns.measure(), [columns, widthOf, loose]);

  const seenColumns = columns.getVirtualItems();
  const lead = (seenColumns[0]?.start ?? 0) - (NUMBERS + pinnedWidth);
  const total = columns.getTotalSize();

  const goTo = useCallback(
    (spot: Spot, extend: boolean) => {
      setRange((old) => (extend && old ? { ...old, to: spot } : { from: spot, to: spot }));
      rows.scrollToIndex(spot.row);
      const at = loose.indexOf(sequence[spot.at] ?? -1);
      if (at >= 0) columns.scrollToIndex(at);
    },
    [rows, columns, loose, sequence],
  );

  const copy = () => {
    if (!range) return;
    const area = rangeOf(range);
    const cells = (area.bottom - area.top + 1) * (area.right - area.left + 1);
    if (cells > COPY_CELLS_MAX) return;
    void navigator.clipboard.writeText(tsv(result, area, rowAt, sequence)).then(() => setCopied(cells));
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    const mod = event.ctrlKey || event.metaKey;
    if (mod && event.key.toLowerCase() === 'c') return copy();
    if (mod && event.key.toLowerCase() === 'a') {
      event.preventDefault();
      return setRange({ from: { row: 0, at: 0 }, to: { row: rowCount - 1, at: sequence.length - 1 } });
    }
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      return setPeek(range !== undefined);
    }
    if (event.key === 'Escape') return setPeek(false);
    const page = Math.max(1, Math.floor(((box.current?.clientHeight ?? 0) - HEAD) / ROW) - 1);
    const next = moved(range?.to ?? { row: 0, at: 0 }, event.key, mod, { rows: rowCount, columns: sequence.length, page });
    if (!next) return;
    event.preventDefault();
    goTo(next, event.shiftKey);
  };

  const drag = useRef(false);
  const press = (event: React.PointerEvent) => {
    const spot = spotOf(event.target);
    if (!spot || event.button !== 0) return;
    drag.current = event.pointerType === 'mouse';
    setRange((old) => (event.shiftKey && old ? { ...old, to: spot } : { from: spot, to: spot }));
  };
  const cross = (event: React.PointerEvent) => {
    const spot = drag.current && event.buttons === 1 ? spotOf(event.target) : undefined;
    if (spot) setRange((old) => (old && (old.to.row !== spot.row || old.to.at !== spot.at) ? { ...old, to: spot } : old));
  };

  // Rows that leave the sight lend their elements to those that come: scrolling changes text and makes nothing new.
  // They stand in the order of their slots, since moving elements about costs more than writing text; `aria-rowindex` says where each belongs.
  const slots = Math.ceil((rows.scrollRect?.height ?? 0) / ROW) + 2 * OVERSCAN + 3;
  const seenRows = [...rows.getVirtualItems()].sort((a, b) => (a.index % slots) - (b.index % slots));
  const area = range && rangeOf(range);
  const many = area !== undefined && (area.top !== area.bottom || area.left !== area.right);
  const firstSeen = seenColumns[0]?.index ?? 0;
  const seenCount = seenColumns.length;
  const layout = useMemo((): Layout => {
    let left = NUMBERS;
    const fixed = pinned.map((column, at) => {
      const made = { column, at, width: widthOf(column), left };
      left += made.width;
      return made;
    });
    const moving = loose.slice(firstSeen, firstSeen + seenCount).map((column, at) => ({ column, at: pinned.length + firstSeen + at, width: widthOf(column), left: undefined }));
    return { fixed, moving, lead, total };
  }, [pinned, loose, widthOf, firstSeen, seenCount, lead, total]);

  const header = (column: number, at: number, pin?: number) => (
    <HeaderCell
      key={column}
      column={result.columns[column] ?? { name: '', type: '', kind: 'text' }}
      index={at + 2}
      width={widthOf(column)}
      left={pin}
      sort={sort?.column === column ? (sort.desc ? 'desc' : 'asc') : undefined}
      filter={filters[column] ?? ''}
      profile={profiles[column]}
      pinned={pinned.includes(column)}
      onSort={(desc) => setSort(desc === undefined ? undefined : { column, desc })}
      onFilter={(typed) => setFilters((old) => ({ ...old, [column]: typed }))}
      onPin={() => setPinned((old) => (old.includes(column) ? old.filter((other) => other !== column) : [...old, column]))}
      onResize={(width) => setSizes((old) => ({ ...old, [column]: Math.max(48, Math.min(1200, width)) }))}
    />
  );

  const to = range?.to;
  const peeked = peek && to ? { column: sequence[to.at] ?? 0, row: rowAt(to.row) } : undefined;

  return (
    <div className="grid-shell">
      <div className="grid-body">
        <div
          ref={box}
          className="grid"
          role="grid"
          aria-label={label}
          aria-rowcount={rowCount + 1}
          aria-colcount={sequence.length + 1}
          aria-activedescendant={range ? 'grid-at' : undefined}
          aria-multiselectable
          tabIndex={0}
          onKeyDown={onKeyDown}
        >
          <div className="grid-head" role="row" aria-rowindex={1} style={{ width: total }}>
            <div className="grid-no" role="columnheader" aria-colindex={1}>
              <span className="visually-hidden">Row</span>
            </div>
            {layout.fixed.map(({ column, at, left }) => header(column, at, left))}
            <div style={{ width: lead, flex: 'none' }} role="presentation" />
            {layout.moving.map(({ column, at }) => header(column, at))}
          </div>
          <div
            style={{ height: rows.getTotalSize() - HEAD, width: total }}
            role="rowgroup"
            onPointerDown={press}
            onPointerOver={cross}
            onDoubleClick={(event) => spotOf(event.target) && setPeek(true)}
          >
            {seenRows.map((item) => {
              const inside = area !== undefined && item.index >= area.top && item.index <= area.bottom;
              return (
                <GridRow
                  key={item.index % slots}
                  result={result}
                  index={item.index}
                  row={rowAt(item.index)}
                  top={item.start}
                  layout={layout}
                  from={inside ? area.left : undefined}
                  to={inside ? area.right : undefined}
                  here={range?.to.row === item.index ? range.to.at : undefined}
                />
              );
            })}
          </div>
        </div>
        {peeked && (
          <Peek
            name={result.columns[peeked.column]?.name ?? ''}
            text={result.text(peeked.column, peeked.row)}
            onClose={() => {
              setPeek(false);
              box.current?.focus();
            }}
          />
        )}
      </div>
      {(foot || filtered || many) && (
        <div className="grid-foot">
          {foot}
          {filtered && (
            <span>
              {format.count(rowCount, 'row')} of {format.number(result.rowCount)} shown
            </span>
          )}
          {many && <span>{format.count((area.bottom - area.top + 1) * (area.right - area.left + 1), 'cell')} selected, Ctrl C copies</span>}
        </div>
      )}
      <span role="status" className="visually-hidden">
        {copied === undefined ? '' : `${format.count(copied, 'cell')} copied`}
      </span>
    </div>
  );
}

function Peek({ name, text, onClose }: { name: string; text: string | null; onClose: () => void }) {
  const pretty = useMemo(() => {
    if (text === null || !/^\s*[[{]/.test(text)) return text ?? 'NULL';
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }, [text]);
  return (
    <aside className="grid-peek appear" aria-label={`Value of ${name}`}>
      <header>
        <strong className="clip grow">{name}</strong>
        <CopyButton text={text ?? ''} />
        <ActionIcon aria-label="Close" onClick={onClose}>
          <IconX size={15} />
        </ActionIcon>
      </header>
      <pre tabIndex={0}>{pretty}</pre>
    </aside>
  );
}

/** Wide enough for the name and the first values. */
function guessWidths(result: ResultSet): number[] {
  const seen = Math.min(result.rowCount, 60);
  return result.columns.map((column, at) => {
    let longest = Math.max(column.name.length + 3, column.type.length * 0.9);
    for (let row = 0; row < seen; row += 1) {
      const text = result.text(at, row);
      // The share of NULL stands beside the type, in a smaller letter.
      longest = Math.max(longest, text === null ? column.type.length * 0.9 + 9 : text.length);
    }
    return Math.round(Math.max(76, Math.min(340, longest * 7.3 + 22)));
  });
}
