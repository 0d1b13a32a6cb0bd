import { Button } from '@mantine/core';
import { useMutation, useQueryClient, useSuspenseQuery } from '@tanstack/react-query';
import { problemOf } from '@/api/client';
import { actions, advice, tableUpkeep } from '@/api/queries';
import type { Advice as One } from '@/api/types';
import { failed, said } from '@/components/notify';
import { Ago, Notice } from '@/components/parts';
import * as format from '@/lib/format';

/** What is proposed, as a headline. */
function headline(one: One): string {
  const columns = one.columns.join(' and ');
  if (one.kind === 'sort') return `Sort the table by ${columns}`;
  if (one.kind === 'zorder') return `Lay the table out along a Z-order curve over ${columns}`;
  return `Give ${columns} bloom filters`;
}

/** Layouts that would let the table's queries read less, each with a button that applies it, and what was applied. */
export function Advice({ layer, name }: { layer: string; name: string }) {
  const { data } = useSuspenseQuery(advice);
  const cache = useQueryClient();
  const table = `${layer}.${name}`;
  const onSettled = () =>
    Promise.all([cache.invalidateQueries({ queryKey: advice.queryKey }), cache.invalidateQueries({ queryKey: tableUpkeep(layer, name).queryKey })]);
  const apply = useMutation({
    mutationFn: (id: string) => actions.applyAdvice(id),
    onSuccess: (done) => said(`${table} is ${done.layout} from now on. Its files are being rewritten.`),
    onError: (error) => failed(`Could not lay ${table} out anew`, problemOf(error)),
    onSettled,
  });
  const back = useMutation({
    mutationFn: () => actions.takeLayoutBack(layer, name),
    onSuccess: () => said(`The applied layout of ${table} is taken back.`),
    onError: (error) => failed(`Could not take the layout of ${table} back`, problemOf(error)),
    onSettled,
  });
  const applied = data.applied.find((each) => each.table === table);
  return (
    <div style={{ display: 'grid', gap: 8 }}>
      {data.advice
        .filter((each) => each.table === table)
        .map((each) => (
          <Notice
            key={each.id}
            tone="calm"
            title={headline(each)}
            hint="An estimate from what the queries filtered by, not a measurement. Rewriting takes a while and changes no row."
            actions={
              <Button loading={apply.isPending && apply.variables === each.id} disabled={apply.isPending} onClick={() => apply.mutate(each.id)}>
                Apply
              </Button>
            }
          >
            All queries of the last seven days on this table read {format.bytes(each.read_bytes)}; then they would have read about {format.bytes(each.expected_bytes)}.{' '}
            {format.count(each.queries, 'query', 'queries')} would have read less.
          </Notice>
        ))}
      {applied && (
        <Notice
          tone="ok"
          title={`Applied: ${applied.layout}`}
          actions={
            <Button variant="default" loading={back.isPending} onClick={() => back.mutate()}>
              Take back
            </Button>
          }
        >
          Since <Ago us={applied.applied_us} />. What the configuration says of this table comes first.
        </Notice>
      )}
    </div>
  );
}
