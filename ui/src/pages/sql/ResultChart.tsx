import { Menu, NativeSelect, SegmentedControl, Button, Checkbox } from '@mantine/core';
import { IconChartBar, IconChevronDown } from '@tabler/icons-react';
import { useMemo } from 'react';
import { Chart } from '@/components/chart';
import { Empty } from '@/components/parts';
import * as format from '@/lib/format';
import type { ResultSet } from '@/lib/result/result';
import { type ChartChoice, type ChartKind, POINTS_MAX, chartOf, suggested } from './chart-of';

/** A result as a chart, with what is drawn chosen above it. */
export function ResultChart({ result, choice, onChoose }: { result: ResultSet; choice: ChartChoice | undefined; onChoose: (choice: ChartChoice) => void }) {
  const fits = choice && [choice.x, ...choice.y].every((column) => column < result.columns.length);
  const chosen = useMemo(() => (fits ? choice : suggested(result)), [fits, choice, result]);
  const spec = useMemo(() => chosen && chartOf(result, chosen), [result, chosen]);
  if (!chosen || !spec || result.rowCount === 0) {
    return (
      <Empty icon={IconChartBar} title="Nothing to draw">
        A chart needs rows with a number, and a time, a name or another number to put it against.
      </Empty>
    );
  }
  const options = result.columns.map((column, at) => ({ value: String(at), label: column.name }));
  const numeric = result.columns.flatMap((column, at) => (column.kind === 'number' ? [{ at, name: column.name }] : []));
  return (
    <div className="sql-chart">
      <div className="toolbar">
        <SegmentedControl
          aria-label="Kind of chart"
          value={chosen.kind}
          data={[
            { value: 'bar', label: 'Bars' },
            { value: 'line', label: 'Line' },
            { value: 'scatter', label: 'Points' },
          ]}
          onChange={(kind) => onChoose({ ...chosen, kind: kind as ChartKind })}
        />
        <NativeSelect aria-label="Across" value={String(chosen.x)} data={options} onChange={(event) => onChoose({ ...chosen, x: Number(event.currentTarget.value) })} />
        <Menu closeOnItemClick={false} position="bottom-start">
          <Menu.Target>
            <Button rightSection={<IconChevronDown size={13} />}>{chosen.y.map((column) => result.columns[column]?.name).join(', ') || 'No figure'}</Button>
          </Menu.Target>
          <Menu.Dropdown mah={320} style={{ overflowY: 'auto' }}>
            {numeric.map(({ at, name }) => (
              <Menu.Item
                key={at}
                leftSection={<Checkbox size="xs" readOnly tabIndex={-1} aria-hidden checked={chosen.y.includes(at)} />}
                onClick={() => onChoose({ ...chosen, y: chosen.y.includes(at) ? chosen.y.filter((other) => other !== at) : [...chosen.y, at] })}
              >
                {name}
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
        <NativeSelect
          aria-label="Split by"
          value={chosen.by === undefined ? '' : String(chosen.by)}
          data={[{ value: '', label: 'Not split' }, ...options.filter((option) => Number(option.value) !== chosen.x).map((option) => ({ ...option, label: `Split by ${option.label}` }))]}
          onChange={(event) => {
            const { by: _, ...rest } = chosen;
            const by = event.currentTarget.value;
            onChoose(by === '' ? rest : { ...rest, by: Number(by) });
          }}
        />
        {result.rowCount > POINTS_MAX && <span className="muted">The first {format.exact(POINTS_MAX)} rows are drawn. Group them in the query to see all.</span>}
      </div>
      <Chart spec={spec} height={340} label={`${chosen.y.map((column) => result.columns[column]?.name).join(', ')} by ${result.columns[chosen.x]?.name}`} />
    </div>
  );
}
