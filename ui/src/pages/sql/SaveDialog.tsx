import { Button, Modal, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { problemOf } from '@/api/client';
import { actions, savedQueries } from '@/api/queries';
import type { SavedQuery } from '@/api/types';
import { said } from '@/components/notify';
import { Failure } from '@/components/parts';
import { type Tab, titleOf } from './tabs';

/** Keeps a tab's text under a name, or brings the saved one up to date. */
export function SaveDialog({ tab, saved, onClose, onSaved }: { tab: Tab; saved: SavedQuery | undefined; onClose: () => void; onSaved: (query: SavedQuery) => void }) {
  const [name, setName] = useState(saved?.name ?? (tab.title || titleOf(tab).replace('…', '')));
  const cache = useQueryClient();
  const save = useMutation({
    mutationFn: (as: 'new' | 'same') => (saved && as === 'same' ? actions.updateQuery({ ...saved, name, query: tab.query }) : actions.saveQuery({ name, query: tab.query })),
    onSuccess: (query) => {
      void cache.invalidateQueries({ queryKey: savedQueries.queryKey });
      said(`“${name}” is saved.`);
      onSaved(query);
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} title="Save the query" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== '') save.mutate(saved ? 'same' : 'new');
        }}
      >
        <TextInput label="Name" value={name} data-autofocus onFocus={(event) => event.currentTarget.select()} onChange={(event) => setName(event.currentTarget.value)} mb={16} />
        {save.isError && <Failure problem={problemOf(save.error)} />}
        <div className="row" style={{ justifyContent: 'flex-end', marginTop: 16 }}>
          {saved && (
            <Button disabled={name.trim() === ''} onClick={() => save.mutate('new')}>
              Save as another
            </Button>
          )}
          <Button type="submit" variant="filled" loading={save.isPending} disabled={name.trim() === ''}>
            {saved ? 'Save changes' : 'Save'}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
