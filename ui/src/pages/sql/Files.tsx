import { ActionIcon, Button } from '@mantine/core';
import { IconFileUpload, IconTrash, IconUpload } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { problemOf } from '@/api/client';
import { actions, uploads } from '@/api/queries';
import type { Upload } from '@/api/types';
import { ConfirmByName } from '@/components/confirm';
import { failed, said } from '@/components/notify';
import { Ago, Bar, Failure } from '@/components/parts';
import { TableBones } from '@/components/skeleton';
import * as format from '@/lib/format';
import type { Sending } from './use-upload';

/** What the file dialog offers first; any other file can be chosen as well. */
const ACCEPTED = '.csv,.tsv,.txt,.json,.ndjson,.jsonl,.parquet,.avro,.gz,.zst,.bz2,.xz';

/** A button that asks for files. */
export function UploadButton({ onFiles, busy, compact = false }: { onFiles: (files: File[]) => void; busy: boolean; compact?: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const title = 'Upload CSV, JSON, Parquet or Avro files and query them';
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        accept={ACCEPTED}
        aria-label="Files to upload"
        onChange={(event) => {
          const files = [...(event.currentTarget.files ?? [])];
          // The same file can then be chosen again.
          event.currentTarget.value = '';
          if (files.length > 0) onFiles(files);
        }}
      />
      {compact ? (
        <ActionIcon variant="default" aria-label="Upload a file…" title={title} loading={busy} onClick={() => input.current?.click()}>
          <IconFileUpload size={15} />
        </ActionIcon>
      ) : (
        <Button leftSection={<IconFileUpload size={14} />} title={title} loading={busy} onClick={() => input.current?.click()}>
          Upload a file…
        </Button>
      )}
    </>
  );
}

/** How far an upload is. */
export function UploadProgress({ sending, onCancel }: { sending: Sending; onCancel: () => void }) {
  return (
    <div className="sql-upload" role="status">
      <span className="clip">
        {sending.share < 1 ? 'Uploading' : 'Storing'} <strong>{sending.name}</strong>
      </span>
      <Bar share={sending.share} label={`Upload of ${sending.name}`} />
      <span className="muted nowrap">
        {format.bytes(sending.share * sending.bytes)} of {format.bytes(sending.bytes)}
      </span>
      <Button onClick={onCancel}>Cancel</Button>
    </div>
  );
}

/** Says where to let go of what is dragged. */
export const DropHint = () => (
  <div className="sql-drop" aria-hidden>
    <IconUpload size={28} stroke={1.3} />
    <strong>Drop files to query them</strong>
    <span className="muted">CSV, JSON, Parquet or Avro, compressed or not</span>
  </div>
);

/** The files that were uploaded. */
export function Files({ filter, busy, onFiles, onOpen }: { filter: string; busy: boolean; onFiles: (files: File[]) => void; onOpen: (upload: Upload) => void }) {
  const { data, isPending, error, refetch } = useQuery(uploads);
  const cache = useQueryClient();
  const [doomed, setDoomed] = useState<Upload>();
  const remove = useMutation({
    mutationFn: (upload: Upload) => actions.deleteUpload(upload.name),
    onSuccess: (_, upload) => said(`${upload.name} is deleted.`),
    onError: (problem) => failed('Could not delete it', problemOf(problem)),
    onSettled: () => {
      setDoomed(undefined);
      void cache.invalidateQueries({ queryKey: uploads.queryKey });
    },
  });
  if (isPending) return <TableBones rows={5} />;
  const shown = (data ?? []).filter((upload) => upload.name.toLowerCase().includes(filter));
  return (
    <div className="sql-side-list">
      <div style={{ padding: '0 4px 8px' }}>
        <UploadButton onFiles={onFiles} busy={busy} />
      </div>
      {error && <Failure problem={problemOf(error)} onRetry={() => void refetch()} />}
      {data && shown.length === 0 && (
        <p className="muted" style={{ padding: 8 }}>
          {filter ? 'No file has this name.' : 'Drop a file anywhere on this page, and query it as a table.'}
        </p>
      )}
      {shown.map((upload) => (
        <div key={upload.name} className="thing-row">
          <button type="button" className="thing history" title={`Query ${upload.path}`} onClick={() => onOpen(upload)}>
            <span className="clip" style={{ display: 'block' }}>
              {upload.name}
            </span>
            <span className="row faint">
              <span>{format.bytes(upload.bytes)}</span>
              <Ago us={upload.modified_us} past />
            </span>
          </button>
          <ActionIcon
            size={22}
            className="more"
            aria-label={`Delete ${upload.name}`}
            title="Delete"
            onClick={() => setDoomed(upload)}
          >
            <IconTrash size={13} />
          </ActionIcon>
        </div>
      ))}
      <ConfirmByName
        opened={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={`Delete ${doomed?.name ?? ''}`}
        name={doomed?.name ?? ''}
        verb="Delete"
        busy={remove.isPending}
        onConfirm={() => doomed && remove.mutate(doomed)}
      >
        <p>The file is removed from the server. Queries and views that read it fail from then on.</p>
      </ConfirmByName>
    </div>
  );
}
