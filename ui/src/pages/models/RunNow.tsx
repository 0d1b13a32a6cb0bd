import { ActionIcon, Button } from '@mantine/core';
import { IconPlayerPlay } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { problemOf } from '@/api/client';
import { actions, models } from '@/api/queries';
import type { Model } from '@/api/types';
import { failed, said } from '@/components/notify';

/** Refreshes a model now. */
export function RunNow({ model, compact = false }: { model: Model; compact?: boolean }) {
  const cache = useQueryClient();
  const run = useMutation({
    mutationFn: () => actions.runModel(model.name),
    onSuccess: () => said(`${model.name} runs.`),
    onError: (error) => failed(`Could not run ${model.name}`, problemOf(error)),
    onSettled: () => cache.invalidateQueries({ queryKey: models.queryKey }),
  });
  const busy = run.isPending || model.state === 'running';
  return compact ? (
    <ActionIcon aria-label={`Run ${model.name} now`} title="Run now" loading={busy} onClick={() => run.mutate()}>
      <IconPlayerPlay size={14} />
    </ActionIcon>
  ) : (
    <Button variant="filled" leftSection={<IconPlayerPlay size={14} />} loading={busy} onClick={() => run.mutate()}>
      Run now
    </Button>
  );
}
