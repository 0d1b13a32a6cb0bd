import { useMediaQuery } from '@mantine/hooks';
import { IconChevronDown, IconChevronUp } from '@tabler/icons-react';
import {
  type ColumnDef,
  type Row,
  type RowData,
  type SortingState,
  flexRender,
  getCoreRowModel,
  getFilteredRowModel,
  getSortedRowModel,
  useReactTable,
} from '@tanstack/react-table';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Fragment, type ReactNode, useLayoutEffect, useMemo, useRef, useState } from 'react';

declare module '@tanstack/react-table' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars
  interface ColumnMeta<TData extends RowData, TValue> {
    /** Right-aligned figures. */
    num?: boolean;
    /** Left out on phones. */
    wide?: boolean;
    /** CSS width; columns without one share what is left. */
    width?: number | string;
  }
}

const ROW = 37;
/** Shorter lists are drawn whole: the browser's own find works in them. */
const VIRTUAL_FROM = 120;

/** `name` or `-name`, as the URL has it. */
export const parseSort = (text: string): SortingState => (text === '' ? [] : [{ id: text.replace(/^-/, ''), desc: text.startsWith('-') }]);
export const printSort = (sorting: SortingState): string => (sorting[0] ? `${sorting[0].desc ? '-' : ''}${sorting[0].id}` : '');

/**
 * A list of things: sorts by its headers, filters by `filter`, draws only what is in sight where there are many.
 * The filter and the sort belong to the caller, which keeps them in the URL.
 */
export function DataTable<T>({
  label,
  rows,
  columns,
  id,
  filter = '',
  sort,
  onSort,
  nothing = 'Nothing matches.',
  detail,
  maxHeight,
}: {
  label: string;
  rows: T[];
  columns: ColumnDef<T>[];
  id: (row: T, index: number) => string;
  filter?: string;
  sort?: string;
  onSort?: (sort: string) => void;
  nothing?: ReactNode;
  /** What is under a row, where something is. */
  detail?: (row: T) => ReactNode;
  maxHeight?: number | string;
}) {
  const [ownSort, setOwnSort] = useState('');
  const sorted = sort ?? ownSort;
  const sorting = useMemo(() => parseSort(sorted), [sorted]);
  const phone = useMediaQuery('(max-width: 720px)', undefined, { getInitialValueInEffect: false });
  const hidden = useMemo(() => (phone ? Object.fromEntries(columns.filter((column) => column.meta?.wide).map((column) => [column.id ?? '', false])) : {}), [phone, columns]);
  const instance = useReactTable({
    data: rows,
    columns,
    getRowId: id,
    state: { sorting, globalFilter: filter, columnVisibility: hidden },
    onSortingChange: (change) => (onSort ?? setOwnSort)(printSort(typeof change === 'function' ? change(sorting) : change)),
    globalFilterFn: includesWords,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
    getFilteredRowModel: getFilteredRowModel(),
    enableSortingRemoval: true,
    // Nothing here has pages; the reset would draw the list once more for every new value.
    autoResetAll: false,
    autoResetPageIndex: false,
  });

  const all = instance.getRowModel().rows;
  const box = useRef<HTMLDivElement>(null);
  const virtual = all.length > VIRTUAL_FROM && !detail;
  const { items, before, after } = useWindow(box, all.length, virtual);
  const visible = virtual ? items.flatMap((index) => all[index] ?? []) : all;
  const width = instance.getVisibleLeafColumns().length;

  return (
    <div className="list" ref={box} style={{ maxHeight: virtual ? (maxHeight ?? 'calc(100dvh - 260px)') : undefined, minHeight: virtual ? 240 : undefined }} tabIndex={virtual ? 0 : undefined} role="region" aria-label={label}>
      <table aria-rowcount={all.length + 1}>
        <colgroup>
          {instance.getVisibleLeafColumns().map((column) => (
            <col key={column.id} style={{ width: column.columnDef.meta?.width }} />
          ))}
        </colgroup>
        <thead>
          {instance.getHeaderGroups().map((group) => (
            <tr key={group.id}>
              {group.headers.map((header) => {
                const sorted = header.column.getIsSorted();
                const text = flexRender(header.column.columnDef.header, header.getContext());
                return (
                  <th key={header.id} scope="col" className={cellClass(header.column.columnDef)} aria-sort={sorted ? (sorted === 'asc' ? 'ascending' : 'descending') : undefined}>
                    {header.column.getCanSort() ? (
                      <button type="button" onClick={header.column.getToggleSortingHandler()}>
                        {text}
                        {sorted === 'asc' && <IconChevronUp size={13} aria-hidden />}
                        {sorted === 'desc' && <IconChevronDown size={13} aria-hidden />}
                      </button>
                    ) : (
                      text
                    )}
                  </th>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody>
          {before > 0 && <Spacer height={before} width={width} />}
          {visible.map((row) => {
            const below = detail?.(row.original);
            return (
              <Fragment key={row.id}>
                <tr data-row data-open={below ? true : undefined}>
                  {row.getVisibleCells().map((cell) => (
                    <td key={cell.id} className={cellClass(cell.column.columnDef)}>
                      {flexRender(cell.column.columnDef.cell, cell.getContext())}
                    </td>
                  ))}
                </tr>
                {below && (
                  <tr>
                    <td className="tall appear" colSpan={width}>
                      {below}
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
          {after > 0 && <Spacer height={after} width={width} />}
        </tbody>
      </table>
      {all.length === 0 && <div className="nothing">{nothing}</div>}
    </div>
  );
}

function includesWords<T>(row: Row<T>, column: string, wanted: string): boolean {
  const text = String(row.getValue(column) ?? '').toLowerCase();
  return wanted.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const cellClass = <T,>(column: ColumnDef<T>) => (column.meta?.num ? 'num' : undefined);

const Spacer = ({ height, width }: { height: number; width: number }) => (
  <tr aria-hidden>
    <td colSpan={width} style={{ height, padding: 0, border: 0 }} />
  </tr>
);

function useWindow(box: React.RefObject<HTMLDivElement | null>, count: number, virtual: boolean) {
  const [, ready] = useState(false);
  // The virtualizer reads its element after mounting; a second pass draws the first rows.
  useLayoutEffect(() => ready(true), []);
  const virtualizer = useVirtualizer({ count: virtual ? count : 0, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 12 });
  const seen = virtualizer.getVirtualItems();
  const before = seen[0]?.start ?? 0;
  const after = virtual ? virtualizer.getTotalSize() - (seen.at(-1)?.end ?? 0) : 0;
  return { items: seen.map((item) => item.index), before, after };
}
