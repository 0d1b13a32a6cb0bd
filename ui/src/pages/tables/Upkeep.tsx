import { Button } from '@mantine/core';
import { IconTool } from '@tabler/icons-react';
import { useMutation, useQueryClient, useSuspenseQuery } from '@tanstack/react-query';
import { problemOf } from '@/api/client';
import { actions, tableUpkeep, upkeep } from '@/api/queries';
import type { UpkeepRun } from '@/api/types';
import { DataTable } from '@/components/data-table';
import { failed, said } from '@/components/notify';
import { Ago, Notice, Num } from '@/components/parts';
import { Status } from '@/components/status';
import * as format from '@/lib/format';
import { quoted } from '@/lib/places';
import { Advice } from './Advice';

const STEPS: Record<string, string> = {
  rewrite: 'Files rewritten',
  manifests: 'Manifests merged',
  expire: 'Snapshots let go',
  orphans: 'Orphans removed',
};

/** What a run did, in a few words that say themselves which step it was. */
function outcome(run: UpkeepRun): string {
  if (run.step === 'expire') return run.snapshots > 0 ? `${format.count(run.snapshots, 'snapshot')} let go` : 'No snapshot was old enough';
  if (run.files_before === 0) return 'Nothing was to be done';
  if (run.step === 'orphans') return `${format.count(run.files_before, 'file')} removed, ${format.bytes(run.bytes_before)}`;
  const files = `${format.number(run.files_before)} → ${format.count(run.files_after, run.step === 'manifests' ? 'manifest' : 'file')}`;
  return run.step === 'rewrite' ? `${files}, ${format.bytes(run.bytes_before)} → ${format.bytes(run.bytes_after)}` : files;
}

/** The table is written by an outside engine in a way that lakebox does not write. */
const NOT_OURS = 'upkeep.not_ours';
/** The version of Iceberg's format that lakebox writes. */
const WRITTEN_VERSION = 2;

/** What keeps the table in shape, and what it did. */
export function Upkeep({ layer, name, version }: { layer: string; name: string; version: number }) {
  const { data: runs } = useSuspenseQuery(tableUpkeep(layer, name));
  const { data: all } = useSuspenseQuery(upkeep);
  const cache = useQueryClient();
  const table = `${layer}.${name}`;
  const run = useMutation({
    mutationFn: () => actions.upkeep(table),
    onSuccess: () => said(`Upkeep of ${table} is in line.`),
    onError: (error) => problemOf(error).code !== NOT_OURS && failed(`Could not start upkeep of ${table}`, problemOf(error)),
    onSettled: () => cache.invalidateQueries({ queryKey: tableUpkeep(layer, name).queryKey }),
  });
  const doing = all.doing?.table === table;
  const refused = run.isError && problemOf(run.error).code === NOT_OURS ? problemOf(run.error).detail : undefined;
  const alone = refused ?? (version === WRITTEN_VERSION ? undefined : `It has Iceberg format version ${version}, and lakebox writes version ${WRITTEN_VERSION}.`);
  return (
    <>
      {alone !== undefined && (
        <div style={{ marginBottom: 12 }}>
          <Notice tone="calm" title="Upkeep leaves this table alone" hint={`A copy would be kept in shape: \`create table … as select * from ${layer}.${quoted(name)}\`.`}>
            {alone}
          </Notice>
        </div>
      )}
      <Advice layer={layer} name={name} />
      <div className="row" style={{ justifyContent: 'space-between', flexWrap: 'wrap', marginBottom: 8, gap: 16 }}>
        <p className="muted" style={{ flex: '1 1 320px' }}>
          {alone !== undefined
            ? ''
            : all.enabled
            ? 'Small files, deleted rows and old snapshots are seen to as they pile up.'
            : 'Upkeep does not work by itself here: the configuration turns it off.'}{' '}
          All tables together: each byte was written {all.write_amplification.toFixed(2)} times since lakebox started.
        </p>
        <Button style={{ flexShrink: 0 }} leftSection={<IconTool size={14} />} loading={run.isPending || doing} onClick={() => run.mutate()}>
          Run now
        </Button>
      </div>
      <div className="live">
        <DataTable
          label="Upkeep"
          rows={runs}
          id={(each) => each.id}
          nothing={
            <span style={{ display: 'block', maxWidth: '70ch', margin: '0 auto' }}>
              {alone === undefined
                ? 'Nothing was to be done so far. Small files are merged once there are several, a file is written anew once a tenth of its rows are deleted, and former states go after ten minutes to a week. Run now takes every small file and every deleted row.'
                : 'Nothing was done.'}
            </span>
          }
          columns={[
            { id: 'started_us', header: 'When', accessorKey: 'started_us', cell: ({ row }) => <Ago us={row.original.started_us} />, meta: { width: 96 } },
            {
              id: 'step',
              header: 'Step',
              accessorKey: 'step',
              cell: ({ row }) => (
                <span className="row">
                  {STEPS[row.original.step] ?? format.sentence(row.original.step)} {row.original.asked && <span className="tag">asked for</span>}
                </span>
              ),
              meta: { width: 210, wide: true },
            },
            { id: 'outcome', header: 'Outcome', accessorFn: outcome, cell: ({ row }) => (row.original.error ? <Status state="failed" /> : outcome(row.original)) },
            { id: 'deleted_rows', header: 'Deleted rows dropped', accessorKey: 'deleted_rows', cell: ({ row }) => <Num value={row.original.deleted_rows} />, meta: { num: true, width: 170, wide: true } },
            { id: 'elapsed_ms', header: 'Took', accessorKey: 'elapsed_ms', cell: ({ row }) => format.duration(row.original.elapsed_ms), meta: { num: true, width: 100, wide: true } },
          ]}
          detail={(each) => each.error && <Notice tone="bad">{each.error}</Notice>}
        />
      </div>
    </>
  );
}
