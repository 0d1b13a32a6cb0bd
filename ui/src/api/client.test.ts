import { afterEach, describe, expect, it, vi } from 'vitest';
import { ApiError, call, json, problemOf } from './client';

const answer = (body: string, init: ResponseInit) => vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, init)));
const problemFrom = async (work: Promise<unknown>) => problemOf(await work.then(() => undefined, (error: unknown) => error));

describe('call', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('hands a problem document through with line and column', async () => {
    answer(JSON.stringify({ status: 400, code: 'sql.syntax', detail: 'Unexpected token', line: 3, column: 8 }), { status: 400 });
    const problem = await problemFrom(call('/sql', { method: 'POST', body: {} }));
    expect(problem).toMatchObject({ code: 'sql.syntax', detail: 'Unexpected token', line: 3, column: 8 });
  });

  it('makes a problem of an answer that is none', async () => {
    answer('<html>bad gateway</html>', { status: 502, statusText: 'Bad Gateway' });
    const problem = await problemFrom(call('/overview'));
    expect(problem).toMatchObject({ code: 'http.502', detail: 'GET /api/v1/overview answered 502 Bad Gateway.' });
  });

  it('says that the server is unreachable', async () => {
    vi.stubGlobal('location', { host: 'lake.test' });
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')));
    expect(await problemFrom(call('/overview'))).toMatchObject({ code: 'network.unreachable' });
  });

  it('lets an abort stay an abort', async () => {
    const stop = new AbortController();
    stop.abort();
    vi.stubGlobal('fetch', () => Promise.reject(new DOMException('aborted', 'AbortError')));
    await expect(call('/sql', { signal: stop.signal })).rejects.not.toBeInstanceOf(ApiError);
  });

  it('takes an empty body for nothing and refuses what is not JSON', async () => {
    answer('', { status: 200 });
    expect(await json('/pipelines/shop/pause', { method: 'POST' })).toBeUndefined();
    answer('<html>', { status: 200 });
    expect(await problemFrom(json('/overview'))).toMatchObject({ detail: 'The answer to GET /api/v1/overview is not JSON.' });
  });
});
