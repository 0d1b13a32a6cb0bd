import { ActionIcon } from '@mantine/core';
import { IconLayoutSidebar, IconLoader2, IconPlus, IconX } from '@tabler/icons-react';
import { type Tab, titleOf } from './tabs';

interface Props {
  tabs: Tab[];
  here: string;
  running: (id: string) => boolean;
  side: boolean;
  onSide: () => void;
  onShow: (id: string) => void;
  onNew: () => void;
  onClose: (id: string) => void;
}

/** The editor's tabs. */
export function TabStrip({ tabs, here, running, side, onSide, onShow, onNew, onClose }: Props) {
  return (
    <div className="sql-tabs">
      <ActionIcon m={4} aria-label={side ? 'Close the side panel' : 'Open the side panel'} aria-expanded={side} onClick={onSide}>
        <IconLayoutSidebar size={16} />
      </ActionIcon>
      <div className="sql-tabs-scroll" role="group" aria-label="Queries">
        {tabs.map((tab) => (
          <div key={tab.id} className="sql-tab" data-here={tab.id === here}>
            {running(tab.id) && <IconLoader2 size={13} className="spin" aria-label="Running" />}
            <button type="button" className="name" aria-pressed={tab.id === here} onClick={() => onShow(tab.id)} onAuxClick={(event) => event.button === 1 && onClose(tab.id)} title={titleOf(tab)}>
              {titleOf(tab)}
            </button>
            <ActionIcon size={20} aria-label={`Close ${titleOf(tab)}`} onClick={() => onClose(tab.id)}>
              <IconX size={12} />
            </ActionIcon>
          </div>
        ))}
      </div>
      <ActionIcon m={4} aria-label="New query" title="New query" onClick={onNew}>
        <IconPlus size={16} />
      </ActionIcon>
    </div>
  );
}
