import { Button, Modal, TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';

/** A dangerous action: says what it will do and wants the name typed. */
export function ConfirmByName({
  opened,
  onClose,
  title,
  name,
  verb,
  children,
  busy,
  onConfirm,
}: {
  opened: boolean;
  onClose: () => void;
  title: string;
  name: string;
  verb: string;
  children: ReactNode;
  busy: boolean;
  onConfirm: () => void;
}) {
  const [typed, setTyped] = useState('');
  const close = () => {
    setTyped('');
    onClose();
  };
  return (
    <Modal opened={opened} onClose={close} title={title} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (typed !== name) return;
          setTyped('');
          onConfirm();
        }}
      >
        {children}
        <TextInput
          mt={16}
          label={
            <>
              Type <strong>{name}</strong> to go on
            </>
          }
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
          autoComplete="off"
          spellCheck={false}
          data-autofocus
        />
        <div className="row" style={{ justifyContent: 'flex-end', marginTop: 20 }}>
          <Button onClick={close}>Keep as it is</Button>
          <Button type="submit" variant="filled" data-tone="bad" disabled={typed !== name} loading={busy}>
            {verb}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
