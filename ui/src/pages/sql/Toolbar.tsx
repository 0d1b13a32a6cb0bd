import { ActionIcon, Button, Menu, NativeSelect } from '@mantine/core';
import { IconAlignLeft, IconDeviceFloppy, IconDots, IconLink, IconListTree, IconPlayerPlay, IconPlayerStop } from '@tabler/icons-react';
import { useRouter } from '@tanstack/react-router';
import { failed, said } from '@/components/notify';
import * as format from '@/lib/format';
import type { SqlEstimate } from '@/api/types';
import { UploadButton } from './Files';
import type { Tab } from './tabs';
import type { Ahead } from './use-estimate';

interface Props {
  tab: Tab;
  running: boolean;
  /** What the statement would do. */
  ahead: Ahead | undefined;
  limit: string;
  limits: string[];
  onLimit: (limit: string) => void;
  onRun: (prefix?: string) => void;
  onCancel: () => void;
  onSave: () => void;
  onFormatted: (query: string) => void;
  onFiles: (files: File[]) => void;
  uploading: boolean;
}

/** What one does with the statement. */
export function Toolbar({ tab, running, ahead, limit, limits, onLimit, onRun, onCancel, onSave, onFormatted, onFiles, uploading }: Props) {
  const router = useRouter();
  const tidy = async () => {
    try {
      const { format: pretty } = await import('sql-formatter');
      onFormatted(pretty(tab.query, { language: 'postgresql', keywordCase: 'preserve', tabWidth: 2 }));
    } catch (error) {
      const detail = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      failed('Could not format it', { type: 'about:blank', title: '', status: 0, code: 'sql.format', detail });
    }
  };
  const link = () => {
    const { href } = router.buildLocation({ to: '.', search: ((old: object) => ({ ...old, tab: undefined, q: tab.query })) as never });
    void navigator.clipboard.writeText(location.origin + href).then(() => said('The link is copied. It opens this query with this view.'));
  };
  const empty = tab.query.trim() === '';
  const estimate = ahead?.estimate;
  return (
    <div className="sql-bar">
      {running ? (
        <Button leftSection={<IconPlayerStop size={14} />} onClick={onCancel}>
          Cancel
        </Button>
      ) : (
        <Button variant="filled" leftSection={<IconPlayerPlay size={14} />} disabled={empty} onClick={() => onRun()} title="Ctrl Enter runs the statement at the cursor, or what is selected">
          Run
        </Button>
      )}
      <NativeSelect aria-label="Rows at most" title="Rows at most" value={limit} data={limits.map((value) => ({ value, label: `≤ ${format.number(Number(value))} rows` }))} onChange={(event) => onLimit(event.currentTarget.value)} />
      {estimate && estimate.files_total > 0 && (
        <span className="sql-estimate" title={estimateTitle(estimate)}>
          reads about {format.bytes(estimate.bytes)}
          <span className="wide">
            {' '}
            in {format.number(estimate.files)} of {format.count(estimate.files_total, 'file')}
          </span>{' '}
          · {format.dollars(estimate.cost_usd)}
        </span>
      )}
      {ahead?.changes && (
        <span className="sql-estimate" title="It takes effect at once, for everybody, as a transaction of its own. What it will read can't be told before.">
          changes data
        </span>
      )}
      <span className="right" />
      <UploadButton compact onFiles={onFiles} busy={uploading} />
      <Button className="save" aria-label="Save" leftSection={<IconDeviceFloppy size={14} />} disabled={empty} onClick={onSave}>
        Save
      </Button>
      <Menu width={210}>
        <Menu.Target>
          <ActionIcon aria-label="More" variant="default">
            <IconDots size={15} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconAlignLeft size={14} />} disabled={empty} onClick={() => void tidy()}>
            Format
          </Menu.Item>
          <Menu.Item leftSection={<IconListTree size={14} />} disabled={empty || ahead?.changes} onClick={() => onRun('EXPLAIN ')}>
            Explain
          </Menu.Item>
          <Menu.Item leftSection={<IconListTree size={14} />} disabled={empty || ahead?.changes} onClick={() => onRun('EXPLAIN ANALYZE ')}>
            Explain with figures
          </Menu.Item>
          <Menu.Item leftSection={<IconLink size={14} />} disabled={empty} onClick={link}>
            Copy a link
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </div>
  );
}

function estimateTitle(estimate: SqlEstimate): string {
  const scans = estimate.scans.map((scan) => `${scan.table}: ${format.bytes(scan.bytes)} of ${format.bytes(scan.bytes_total)}, ${scan.files} of ${format.count(scan.files_total, 'file')}`);
  return `Before running, from the tables' metadata: the needed columns of the files that the conditions don't rule out. Row groups that are skipped come off, footers on top. The price is server.query_price_per_tb; nothing is billed.\n${scans.join('\n')}`;
}
