import { useSuspenseQuery } from '@tanstack/react-query';
import { IconTable } from '@tabler/icons-react';
import { runSql } from '@/api/sql';
import { Grid } from '@/components/grid/Grid';
import { Empty } from '@/components/parts';
import * as format from '@/lib/format';
import { quoted } from '@/lib/places';

const ROWS = 200;

/** Some rows of a table, as queries see them now. */
export default function Sample({ layer, name }: { layer: string; name: string }) {
  const { data } = useSuspenseQuery({
    queryKey: ['table', layer, name, 'sample'],
    queryFn: ({ signal }) => runSql({ query: `select * from ${layer}.${quoted(name)} limit ${ROWS}`, id: crypto.randomUUID(), maxRows: ROWS, signal }),
    staleTime: 10_000,
  });
  if (data.result.rowCount === 0) {
    return (
      <Empty icon={IconTable} title="No rows">
        The table exists and is empty.
      </Empty>
    );
  }
  return (
    <div className="sample">
      <Grid label={`Rows of ${layer}.${name}`} result={data.result} foot={<span>{data.result.rowCount < ROWS ? `All ${format.count(data.result.rowCount, 'row')}` : `Any ${ROWS} rows`}, in no order</span>} />
    </div>
  );
}
