import { ActionIcon, TextInput } from '@mantine/core';
import { IconSearch, IconX } from '@tabler/icons-react';
import { useRef, useState } from 'react';

/** Filters a list as one types. Escape empties it. Its owner keeps the text (in the URL); typing never waits for that. */
export function FilterBox({ label, value, onChange, width = 240 }: { label: string; value: string; onChange: (value: string) => void; width?: number }) {
  const [draft, setDraft] = useState(value);
  const [owned, setOwned] = useState(value);
  const sent = useRef(new Set<string>());
  if (owned !== value) {
    setOwned(value);
    // An echo of what was typed here must not take back what was typed since.
    if (!sent.current.delete(value)) setDraft(value);
  }
  const change = (next: string) => {
    setDraft(next);
    sent.current.add(next);
    onChange(next);
  };
  return (
    <TextInput
      w={width}
      maw="100%"
      aria-label={label}
      placeholder={label}
      value={draft}
      spellCheck={false}
      autoComplete="off"
      leftSection={<IconSearch size={14} aria-hidden />}
      rightSection={
        draft !== '' && (
          <ActionIcon size={20} aria-label="Clear the filter" onClick={() => change('')}>
            <IconX size={13} />
          </ActionIcon>
        )
      }
      onChange={(event) => change(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === 'Escape' && draft !== '') {
          event.stopPropagation();
          change('');
        }
      }}
    />
  );
}
