import { ApiError } from './client';
import type { Problem, Upload } from './types';

/**
 * Sends a file to the server, which keeps it for SQL. `fetch` tells nothing while it sends, so this is the one call that is made otherwise.
 * An abort rejects with a `DOMException` named `AbortError`.
 */
export function uploadFile(file: File, { onProgress, signal }: { onProgress: (share: number) => void; signal: AbortSignal }): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal.addEventListener('abort', stop);
    request.open('POST', `/api/v1/uploads?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader('content-type', 'application/octet-stream');
    request.setRequestHeader('accept', 'application/json');
    request.upload.onprogress = (event) => onProgress(event.total > 0 ? event.loaded / event.total : 0);
    request.onload = () => {
      const answer = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300 && answer) resolve(answer as Upload);
      else reject(new ApiError(problemFrom(answer, request.status)));
    };
    request.onerror = () => reject(new ApiError(problemFrom(undefined, 0)));
    request.onabort = () => reject(new DOMException('The upload was cancelled.', 'AbortError'));
    request.onloadend = () => signal.removeEventListener('abort', stop);
    request.send(file);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function problemFrom(answer: unknown, status: number): Problem {
  const said = answer as Partial<Problem> | undefined;
  if (typeof said?.detail === 'string') return { type: 'about:blank', title: 'Upload failed', status, code: 'upload.failed', ...said } as Problem;
  const detail = status === 0 ? `The upload to ${location.host} broke off.` : `The server answered ${status}.`;
  return { type: 'about:blank', title: 'Upload failed', status, code: `http.${status}`, detail, hint: 'Check that lakebox is running and has room on its disk, then send the file again.' };
}
