// A stand-in for the server while the dashboard is developed: plausible, moving data for every endpoint. For development only.
//
//   node dev/fixture-server.mjs [--port 8480] [--mode full|empty|failing|many] [--slow MS]
//
// It serves `dist` as well, so that browser tests can run against it.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sqlArrow, sqlJson, sqlCsv } from './fixture-sql.mjs';
import { World } from './fixture-world.mjs';

const { values: args } = parseArgs({ options: { port: { type: 'string', default: '8480' }, mode: { type: 'string', default: 'full' }, slow: { type: 'string', default: '0' } } });
const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const world = new World(args.mode);
setInterval(() => world.tick(), 1000);

class Refusal extends Error {
  constructor(status, code, detail, extra = {}) {
    super(detail);
    this.body = { type: 'about:blank', title: { 400: 'Bad request', 404: 'Not found', 409: 'Conflict' }[status] ?? 'Error', status, code, detail, ...extra };
  }
}
const missing = (kind, name) => new Refusal(404, `${kind}.unknown`, `There is no ${kind} called ${name}.`);

const routes = [
  ['GET', '/overview', () => world.overview(true)],
  ['GET', '/pipelines', () => world.pipelines()],
  ['GET', '/pipelines/:name', ({ name }) => world.pipelines().find((each) => each.name === name) ?? fail(missing('pipeline', name))],
  ['GET', '/pipelines/:name/throughput', ({ name }) => world.throughput(name) ?? fail(missing('pipeline', name))],
  ['POST', '/pipelines/:name/:verb', ({ name, verb }) => world.command(name, verb) || fail(missing('pipeline', name))],
  ['GET', '/tables', () => world.tables()],
  ['GET', '/tables/:layer/:name', ({ layer, name }) => world.table(layer, name) ?? fail(missing('table', `${layer}.${name}`))],
  ['GET', '/tables/:layer/:name/snapshots', ({ layer, name }) => world.snapshots(layer, name)],
  ['GET', '/tables/:layer/:name/files', ({ layer, name }) => world.files(layer, name)],
  ['GET', '/crawlers', () => world.crawlers()],
  ['POST', '/crawlers/:name/run', ({ name }) => world.crawlers().find((each) => each.name === name) ?? fail(missing('crawler', name))],
  ['GET', '/uploads', () => world.uploads()],
  ['DELETE', '/uploads/:name', () => undefined],
  ['GET', '/transforms', () => world.transforms()],
  ['GET', '/dead-letters', (_, url) => world.deadLetters(url.searchParams)],
  ['GET', '/models', () => world.models()],
  ['POST', '/models/:name/run', ({ name }) => world.runModel(name)],
  ['GET', '/models/:name/runs', ({ name }) => world.modelRuns(name)],
  ['GET', '/queries', (_, url) => world.queries.slice(0, Number(url.searchParams.get('limit') ?? 100))],
  ['DELETE', '/queries/:id', ({ id }) => world.cancel(id)],
  ['GET', '/schema', () => world.schema()],
  ['GET', '/saved-queries', () => world.saved],
  ['POST', '/saved-queries', (_, __, body) => world.save(body)],
  ['PUT', '/saved-queries/:id', ({ id }, _, body) => world.save({ ...body, id })],
  ['DELETE', '/saved-queries/:id', ({ id }) => void (world.saved = world.saved.filter((query) => query.id !== id))],
  ['GET', '/about', () => world.about()],
];
const fail = (error) => {
  throw error;
};

function match(pattern, path) {
  const [a, b] = [pattern.split('/'), path.split('/')];
  if (a.length !== b.length) return undefined;
  const params = {};
  for (const [at, part] of a.entries()) {
    if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(b[at]);
    else if (part !== b[at]) return undefined;
  }
  return params;
}

createServer((request, response) => {
  handle(request, response).catch((error) => {
    const body = error.body ?? { type: 'about:blank', title: 'Internal error', status: 500, code: 'fixture.bug', detail: error.stack ?? String(error) };
    if (response.headersSent) return response.destroy();
    response.writeHead(body.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
  });
}).listen(Number(args.port), '127.0.0.1', () => console.log(`fixture (${args.mode}) on http://127.0.0.1:${args.port}`));

async function handle(request, response) {
  const url = new URL(request.url, 'http://fixture');
  if (!url.pathname.startsWith('/api/v1')) return serveFile(url.pathname, response);
  const path = url.pathname.slice('/api/v1'.length);
  if (Number(args.slow) > 0) await new Promise((done) => setTimeout(done, Number(args.slow)));
  if (path === '/events') return events(request, response);
  let text = '';
  for await (const chunk of request) text += chunk;
  const body = text ? JSON.parse(text) : undefined;
  if (path === '/sql') return sql(request, response, body);
  for (const [method, pattern, answer] of routes) {
    const params = method === request.method && match(pattern, path);
    if (!params) continue;
    const value = answer(params, url, body);
    if (value === undefined) return response.writeHead(204).end();
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  }
  throw new Refusal(404, 'route.unknown', `Nothing answers ${request.method} ${url.pathname}.`);
}

function events(request, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const send = () => {
    response.write(`event: overview\ndata: ${JSON.stringify(world.overview(false))}\n\n`);
    response.write(`event: pipelines\ndata: ${JSON.stringify(world.pipelines())}\n\n`);
  };
  send();
  const timer = setInterval(send, 1000);
  request.on('close', () => clearInterval(timer));
}

async function sql(request, response, body) {
  const run = world.begin(body);
  const syntax = /\b(selec|form|wher)\b/i.exec(body.query);
  const unknown = /from\s+(\w+\.\w+)/i.exec(body.query);
  const position = (at) => {
    const before = body.query.slice(0, at).split('\n');
    return { line: before.length, column: before.at(-1).length + 1 };
  };
  try {
    if (syntax) throw new Refusal(400, 'sql.syntax', `Expected a statement, found “${syntax[1]}”.`, { hint: 'Check the spelling of the keyword.', ...position(syntax.index) });
    if (unknown && !/^system\./.test(unknown[1]) && !world.schema().tables.some((table) => `${table.layer}.${table.name}` === unknown[1].toLowerCase())) {
      throw new Refusal(400, 'sql.unknown_table', `There is no table ${unknown[1]}.`, { hint: 'The schema panel lists every table.', ...position(unknown.index + 5) });
    }
    if (/pg_sleep/i.test(body.query)) await world.sleep(run, 30_000);
    const accept = request.headers.accept ?? '';
    const headers = { 'x-lakebox-query-id': run.id, 'x-lakebox-elapsed-ms': '1.8', 'x-lakebox-as-of': world.asOf().map(({ source, cursor }) => `${source}=${cursor}`).join(',') };
    if (accept.includes('arrow')) {
      response.writeHead(200, { ...headers, 'content-type': 'application/vnd.apache.arrow.stream' });
      await sqlArrow(world, body, response, run);
    } else if (accept.includes('csv')) response.writeHead(200, { ...headers, 'content-type': 'text/csv' }).end(sqlCsv(world, body));
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(sqlJson(world, body, run)));
    world.finish(run, 'done');
  } catch (error) {
    world.finish(run, run.state === 'cancelled' ? 'cancelled' : 'failed', error.message);
    throw error;
  }
}

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };
function serveFile(path, response) {
  const wanted = join(dist, normalize(path));
  const file = path !== '/' && wanted.startsWith(dist) && existsSync(wanted) ? wanted : join(dist, 'index.html');
  if (!existsSync(file)) return response.writeHead(404).end('Run `npm run build` first.');
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
  createReadStream(file).pipe(response);
}
