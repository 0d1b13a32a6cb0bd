import type { Problem } from './types';

/** A failed call, always with a problem that a person can read. */
export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    options?: ErrorOptions,
  ) {
    super(problem.detail, options);
    this.name = 'ApiError';
  }
}

/** What any thrown value means to a person. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return { type: 'about:blank', title: 'Something in this page failed', status: 0, code: 'page.failed', detail };
}

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  body?: unknown;
  accept?: string;
  signal?: AbortSignal | undefined;
}

/**
 * The one door to the server. Resolves to a response with a 2xx status; everything else is an `ApiError`, except an abort by the caller,
 * which stays a `DOMException` named `AbortError`.
 */
export async function call(path: string, { method = 'GET', body, accept = 'application/json', signal }: Call = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers: { accept, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(
      {
        type: 'about:blank',
        title: 'No connection',
        status: 0,
        code: 'network.unreachable',
        detail: `The server did not answer at ${location.host}.`,
        hint: 'Check that lakebox is running and that this machine can reach it, then retry.',
      },
      { cause },
    );
  }
  if (!response.ok) throw new ApiError(await readProblem(response, `${method} /api/v1${path}`));
  return response;
}

/** Like `call`, for bodies that are JSON; an empty body is `undefined`. */
export async function json<T>(path: string, options?: Call): Promise<T> {
  const response = await call(path, options);
  const text = await response.text();
  if (text === '') return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    const problem = plainProblem(response, `The answer to ${options?.method ?? 'GET'} /api/v1${path} is not JSON.`);
    throw new ApiError({ ...problem, hint: 'Something between this browser and lakebox may be changing answers; check the proxy.' }, { cause });
  }
}

async function readProblem(response: Response, what: string): Promise<Problem> {
  const text = await response.text().catch(() => '');
  try {
    const parsed = JSON.parse(text) as Partial<Problem>;
    if (typeof parsed.detail === 'string') return { ...plainProblem(response, parsed.detail), ...parsed } as Problem;
  } catch {
    // Not a problem document: a proxy or an old server answered. The status still says something.
  }
  return plainProblem(response, `${what} answered ${response.status} ${response.statusText}`.trim() + '.');
}

function plainProblem(response: Response, detail: string): Problem {
  return { type: 'about:blank', title: response.statusText || 'Request failed', status: response.status, code: `http.${response.status}`, detail };
}
