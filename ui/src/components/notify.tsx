import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import type { Problem } from '@/api/types';

/** Says that something was done, and offers to undo it where that can be. */
export function said(message: string, undo?: { label: string; run: () => void }): void {
  const id = crypto.randomUUID();
  notifications.show({
    id,
    withBorder: true,
    autoClose: undo ? 9_000 : 3_500,
    closeButtonProps: { 'aria-label': 'Close' },
    message: undo ? (
      <span className="row">
        <span className="grow">{message}</span>
        <Button
          onClick={() => {
            notifications.hide(id);
            undo.run();
          }}
        >
          {undo.label}
        </Button>
      </span>
    ) : (
      message
    ),
  });
}

/** Says that something could not be done, and stays until it is closed. */
export function failed(what: string, problem: Problem): void {
  notifications.show({
    title: what,
    message: [problem.detail, problem.hint].filter(Boolean).join(' '),
    color: 'red',
    withBorder: true,
    autoClose: false,
    closeButtonProps: { 'aria-label': 'Close' },
  });
}
