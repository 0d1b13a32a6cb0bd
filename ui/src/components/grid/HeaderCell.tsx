import { ActionIcon, Menu, TextInput } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconDots, IconFilter, IconPin, IconPinnedOff, IconX } from '@tabler/icons-react';
import { useRef } from 'react';
import * as format from '@/lib/format';
import type { Profile } from '@/lib/result/profile';
import type { ResultColumn } from '@/lib/result/result';

export interface HeaderCellProps {
  column: ResultColumn;
  index: number;
  width: number;
  /** Where a pinned column sticks. */
  left: number | undefined;
  sort: 'asc' | 'desc' | undefined;
  filter: string;
  profile: Profile | undefined;
  pinned: boolean;
  onSort: (desc: boolean | undefined) => void;
  onFilter: (typed: string) => void;
  onPin: () => void;
  onResize: (width: number) => void;
}

/** A column's name, type and profile, its sort, and what else can be done with it. */
export function HeaderCell({ column, index, width, left, sort, filter, profile, pinned, onSort, onFilter, onPin, onResize }: HeaderCellProps) {
  const next = sort === undefined ? false : sort === 'asc' ? true : undefined;
  return (
    <div
      role="columnheader"
      aria-colindex={index}
      aria-sort={sort === 'asc' ? 'ascending' : sort === 'desc' ? 'descending' : 'none'}
      className={left === undefined ? 'grid-th' : 'grid-th grid-pinned'}
      style={{ width, left }}
    >
      <div className="grid-th-name">
        <button type="button" onClick={() => onSort(next)} title={`${column.name} ${column.type}`}>
          {column.name}
        </button>
        {sort === 'asc' && <IconArrowUp size={12} aria-hidden />}
        {sort === 'desc' && <IconArrowDown size={12} aria-hidden />}
        {filter !== '' && <IconFilter size={12} aria-hidden />}
        <Menu width={230} withinPortal>
          <Menu.Target>
            <ActionIcon size={18} className="more" data-on={filter !== ''} aria-label={`More for ${column.name}`}>
              <IconDots size={13} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <TextInput
              m={4}
              placeholder={column.kind === 'number' ? 'Filter: >5, 5..9, null' : 'Filter: text, =text, null'}
              aria-label={`Filter ${column.name}`}
              value={filter}
              data-autofocus
              onChange={(event) => onFilter(event.currentTarget.value)}
              onKeyDown={(event) => event.stopPropagation()}
              rightSection={
                filter !== '' && (
                  <ActionIcon size={18} aria-label="Clear the filter" onClick={() => onFilter('')}>
                    <IconX size={12} />
                  </ActionIcon>
                )
              }
            />
            <Menu.Item leftSection={<IconArrowUp size={14} />} onClick={() => onSort(false)}>
              Sort ascending
            </Menu.Item>
            <Menu.Item leftSection={<IconArrowDown size={14} />} onClick={() => onSort(true)}>
              Sort descending
            </Menu.Item>
            <Menu.Item leftSection={pinned ? <IconPinnedOff size={14} /> : <IconPin size={14} />} onClick={onPin}>
              {pinned ? 'Unpin' : 'Pin to the left'}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </div>
      <div className="grid-th-type">
        <span className="clip">{column.type}</span>
        {profile && profile.nulls > 0 && <span className="nowrap" title={`${format.exact(profile.nulls)} of ${format.exact(profile.rows)} are NULL`}>{format.percent(profile.nulls / profile.rows)} NULL</span>}
      </div>
      <div className="grid-th-profile">{profile && <Distribution profile={profile} width={width - 17} />}</div>
      <Sizer width={width} onResize={onResize} />
    </div>
  );
}

function Distribution({ profile, width }: { profile: Profile; width: number }) {
  if (profile.bins) {
    const max = Math.max(...profile.bins);
    const step = Math.min(120, width) / profile.bins.length;
    return (
      <svg width={Math.min(120, width)} height={13} aria-hidden>
        <title>{`${profile.min} to ${profile.max}`}</title>
        {profile.bins.map((count, bin) => {
          const height = count === 0 ? 0 : Math.max(1, (count / max) * 12);
          return <rect key={bin} x={bin * step} y={13 - height} width={Math.max(1, step - 1)} height={height} fill="var(--c1)" opacity={0.55} />;
        })}
      </svg>
    );
  }
  if (!profile.top || profile.distinct === undefined) return null;
  const known = profile.rows - profile.nulls;
  if (known === 0) return null;
  const all = profile.top.map(({ value, count }) => `${format.middle(value, 40)}: ${format.percent(count / known)}`).join('\n');
  const text = profile.distinct === known && known > 1 ? 'all different' : profile.distinct >= 10_000 ? 'over 10 k values' : format.count(profile.distinct, 'value');
  return <span title={all}>{text}</span>;
}

function Sizer({ width, onResize }: { width: number; onResize: (width: number) => void }) {
  const start = useRef<{ x: number; width: number }>(undefined);
  return (
    <div
      className="grid-size"
      aria-hidden
      onPointerDown={(event) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        start.current = { x: event.clientX, width };
      }}
      onPointerMove={(event) => {
        if (start.current) onResize(start.current.width + event.clientX - start.current.x);
      }}
      onPointerUp={() => (start.current = undefined)}
    />
  );
}
