import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { problemOf } from '@/api/client';
import { uploads } from '@/api/queries';
import type { Upload } from '@/api/types';
import { uploadFile } from '@/api/upload';
import { failed } from '@/components/notify';

/** A file on its way to the server. */
export interface Sending {
  name: string;
  bytes: number;
  /** How much of it is there, from 0 to 1. */
  share: number;
}

/** The statement that shows an uploaded file. */
export const statementFor = (upload: Pick<Upload, 'path'>): string => `SELECT * FROM '${upload.path.replaceAll("'", "''")}' LIMIT 100`;

/** Sends files one after the other; `onDone` is told of each that is there. */
export function useUpload(onDone: (upload: Upload) => void) {
  const [sending, setSending] = useState<Sending>();
  const stop = useRef<AbortController>(undefined);
  const cache = useQueryClient();
  useEffect(() => () => stop.current?.abort(), []);

  const send = useCallback(
    async (files: File[]) => {
      if (stop.current) return;
      const abort = new AbortController();
      stop.current = abort;
      try {
        for (const file of files) {
          const base = { name: file.name, bytes: file.size };
          setSending({ ...base, share: 0 });
          const upload = await uploadFile(file, { signal: abort.signal, onProgress: (share) => setSending({ ...base, share }) });
          await cache.invalidateQueries({ queryKey: uploads.queryKey });
          onDone(upload);
        }
      } catch (error) {
        if (!abort.signal.aborted) failed('Could not upload it', problemOf(error));
      } finally {
        stop.current = undefined;
        setSending(undefined);
      }
    },
    [cache, onDone],
  );
  const cancel = useCallback(() => stop.current?.abort(), []);
  return { sending, send, cancel };
}

/** Whether something that is dragged over the page holds files. */
const holdsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;

/** Files that are dropped anywhere on the page; says whether some hover over it now. */
export function useDrop(onFiles: (files: File[]) => void): boolean {
  const [over, setOver] = useState(false);
  const depth = useRef(0);
  useEffect(() => {
    const enter = (event: DragEvent) => {
      if (!holdsFiles(event)) return;
      depth.current += 1;
      setOver(true);
    };
    const leave = () => {
      depth.current = Math.max(0, depth.current - 1);
      if (depth.current === 0) setOver(false);
    };
    // Without this the browser would open the file in place of the page.
    const hover = (event: DragEvent) => holdsFiles(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      depth.current = 0;
      setOver(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      onFiles(files);
    };
    addEventListener('dragenter', enter);
    addEventListener('dragleave', leave);
    addEventListener('dragover', hover);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragenter', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('dragover', hover);
      removeEventListener('drop', drop);
    };
  }, [onFiles]);
  return over;
}
