import { randomUUID } from 'node:crypto';

const us = () => Date.now() * 1000;
const LOREM = 'A table of the bundled example.';

const SHAPES = {
  customers: [['id', 'bigint'], ['full_name', 'text'], ['email', 'text'], ['country', 'text'], ['risk_score', 'double'], ['attributes', 'json'], ['created_at', 'timestamptz']],
  loans: [['id', 'bigint'], ['customer_id', 'bigint'], ['product', 'text'], ['principal', 'decimal(18,2)'], ['annual_rate', 'decimal(7,5)'], ['state', 'text'], ['opened_at', 'timestamptz'], ['closed_at', 'timestamptz']],
  payments: [['id', 'bigint'], ['loan_id', 'bigint'], ['amount', 'decimal(18,2)'], ['method', 'text'], ['settled', 'boolean'], ['paid_at', 'timestamptz']],
  ledger_entries: [['id', 'bigint'], ['transaction_id', 'bigint'], ['account', 'text'], ['amount', 'decimal(18,2)'], ['booked_at', 'timestamptz']],
};
const CHANGE = [['_op', 'text'], ['_commit_ts', 'timestamptz'], ['_ingest_ts', 'timestamptz'], ['_pos', 'unsigned bigint'], ['_seq', 'unsigned bigint'], ['_xid', 'bigint'], ['_unchanged', 'text[]']];
const GOLD = {
  daily_payments: { columns: [['day', 'date'], ['method', 'text'], ['payments', 'bigint'], ['amount', 'decimal(38,2)']], from: ['silver.demo_payments'], sort: 'day desc' },
  loan_book: { columns: [['product', 'text'], ['state', 'text'], ['loans', 'bigint'], ['outstanding', 'decimal(38,2)']], from: ['silver.demo_loans', 'silver.demo_payments'], sort: 'product' },
  ledger_balance: { columns: [['account', 'text'], ['balance', 'decimal(38,2)']], from: ['silver.demo_ledger_entries'], sort: 'account' },
  a_model_whose_name_is_much_longer_than_anybody_would_reasonably_choose_for_a_table: { columns: [['x', 'bigint']], from: ['gold.daily_payments'], sort: '' },
};

/** Everything the stand-in server knows; `tick` moves it on by a second. */
export class World {
  constructor(mode) {
    this.mode = mode;
    this.started = us();
    this.rows = mode === 'empty' ? 0 : 48_213_377;
    this.points = [];
    this.paused = new Set();
    this.running = new Map();
    this.saved = mode === 'empty' ? [] : [
      { id: 'sq1', name: 'Payments per day and method', query: 'select day, method, amount\nfrom gold.daily_payments\norder by day', updated_us: us() - 3.6e9 },
      { id: 'sq2', name: 'Ledger sums to zero', query: 'select sum(amount) as balance\nfrom silver.demo_ledger_entries', updated_us: us() - 86.4e9 },
    ];
    this.queries = mode === 'empty' ? [] : Array.from({ length: 30 }, (_, at) => ({
      id: randomUUID(), query: ['select count(*) from silver.demo_payments', 'select day, sum(amount)\nfrom gold.daily_payments\ngroup by day order by day', 'select * from silver.demo_lones'][at % 3],
      state: at % 3 === 2 ? 'failed' : 'done', client: at % 5 === 4 ? 'pgwire' : 'http', started_us: us() - at * 41e6, elapsed_ms: 3 + at * 7.3, rows: at * 13, bytes_scanned: at * 911_333, error: at % 3 === 2 ? 'There is no table silver.demo_lones.' : undefined,
    }));
    this.names = mode === 'empty' ? [] : ['demo', ...(mode === 'failing' ? ['shop', 'billing_eu'] : []), ...(mode === 'many' ? Array.from({ length: 59 }, (_, at) => `source_${String(at).padStart(2, '0')}`) : [])];
    for (let second = 600; second > 0; second -= 1) if (second < 300 || second > 330) this.point(us() - second * 1e6);
    this.runs = {};
  }

  point(at) {
    const wave = 1 + 0.35 * Math.sin(at / 47e6) + 0.15 * Math.sin(at / 7e6);
    const rows = this.names.length === 0 || this.paused.has('demo') ? 0 : Math.round(4200 * wave + Math.random() * 300);
    this.points = [...this.points, { at_us: Math.round(at), rows, bytes: rows * 117, lag_ms: Math.round(180 + 90 * wave + Math.random() * 60) }].slice(-600);
    this.rows += rows;
  }
  tick() {
    this.point(us());
    for (const [name, run] of this.running) {
      if (us() - run.started_us < 2.5e6) continue;
      this.running.delete(name);
      Object.assign(run, { state: 'ok', elapsed_ms: 2411.3, rows: 3_650 });
    }
  }

  overview(all) {
    const last = this.points.at(-1);
    const failing = this.mode === 'failing';
    const states = this.pipelines().reduce((sum, { state }) => ({ ...sum, [state]: (sum[state] ?? 0) + 1 }), {});
    const tables = this.tables();
    const layers = ['bronze', 'silver', 'gold'].map((layer) => {
      const own = tables.filter((table) => table.layer === layer);
      const sum = (key) => own.reduce((total, table) => total + table[key], 0);
      return { layer, tables: own.length, rows: sum('rows'), bytes: sum('bytes'), freshness_ms: own.length === 0 ? undefined : { bronze: last?.lag_ms, silver: last?.lag_ms, gold: 4_120 }[layer], failing: own.filter((table) => table.error).length };
    });
    return {
      health: failing ? 'failing' : 'ok',
      issues: failing ? [
        { severity: 'error', about: 'pipeline', name: 'shop', message: 'Cannot reach PostgreSQL at db.internal:5432: connection refused. The slot lakebox_shop holds back 1.2 GB of WAL.', hint: 'Check that the database runs and that its firewall lets this machine in. The next try is in 12 s.', since_us: us() - 754e6 },
        { severity: 'error', about: 'table', name: 'silver.shop_invoices', message: 'Column total changed from numeric(12,2) to text at the source.', hint: 'Resync the table, or map the column in lakebox.yaml.', since_us: us() - 8_400e6 },
        { severity: 'warning', about: 'transform', name: 'mask_pii', message: '1,204 rows became dead letters in the last hour.', hint: 'Look at the dead letters.', since_us: us() - 3_000e6 },
      ] : [],
      layers, rows_per_s: last?.rows ?? 0, rows_total: this.rows,
      throughput: all ? this.points : this.points.slice(-1),
      pipelines: Object.entries(states).map(([state, count]) => ({ state, count })),
      storage: { warehouse: '/var/lib/lakebox/lake', bytes: tables.reduce((sum, table) => sum + table.bytes, 0), files: tables.reduce((sum, table) => sum + table.files, 0), requests: 18_224, disk_free_bytes: 212_400_000_000 },
      process: { version: '0.1.0', started_us: this.started - 93_784e6, memory_bytes: 143_000_000 + Math.random() * 4e6, cpu_s: 2_914.2, queries_running: 0 },
      at_us: us(),
    };
  }

  pipelines() {
    const last = this.points.at(-1);
    return this.names.map((name, at) => {
      const broken = this.mode === 'failing' && at > 0;
      const state = this.paused.has(name) ? 'paused' : broken ? (at === 1 ? 'retrying' : 'snapshot') : 'streaming';
      return {
        name, source: name === 'demo' ? 'simulator' : 'postgres', state, cursor: `0/${(0x16b3748 + Math.floor(this.rows / 64)).toString(16).toUpperCase()}`, head: `0/${(0x16b3790 + Math.floor(this.rows / 64)).toString(16).toUpperCase()}`,
        lag_bytes: broken && at === 1 ? 1_213_000_000 : 18_400, lag_ms: broken && at === 1 ? 754_000 : (last?.lag_ms ?? null), rows_total: Math.round(this.rows / (at + 1)), rows_per_s: state === 'streaming' ? (last?.rows ?? 0) / (at + 1) : 0,
        last_commit_at: us() - (state === 'streaming' ? 2.1e6 : 754e6), last_commit_ms: 41.7,
        last_error: state === 'retrying' ? { code: 'unreachable', message: 'Cannot reach PostgreSQL at db.internal:5432: connection refused.', hint: 'Check that the database runs and that its firewall lets this machine in.', at_us: us() - 18e6, retry_at_us: us() + 12e6 } : null,
        snapshot: state === 'snapshot' ? { tables_total: 12, tables_done: 5, rows_done: 18_400_213, rows_estimate: 44_000_000, bytes_done: 2_140_000_000 } : null,
        tables: this.sourceTables(name).map((table, nth) => ({ source_table: `public.${table}`, lake_name: `${name}_${table}`, state: broken && nth === 2 ? 'failed' : 'streaming', rows: Math.round(this.rows / (nth + 3)), mode: table === 'ledger_entries' ? 'append only' : 'by key', error: broken && nth === 2 ? 'Column total changed from numeric(12,2) to text at the source.' : null })),
        transforms: ['mask_pii'], dead_letters: at === 0 ? 1_204 : 0, restarts: broken ? 14 : 0,
      };
    });
  }
  sourceTables(name) {
    return name === 'demo' || this.mode !== 'many' ? Object.keys(SHAPES) : [...Object.keys(SHAPES), 'events'];
  }
  throughput(name) {
    return this.names.includes(name) ? { points: this.points } : undefined;
  }
  command(name, verb) {
    if (!this.names.includes(name)) return undefined;
    if (verb === 'pause') this.paused.add(name);
    else this.paused.delete(name);
    return { ok: true };
  }

  tables() {
    const made = [];
    for (const layer of ['bronze', 'silver']) {
      for (const pipeline of this.names) {
        for (const [at, table] of this.sourceTables(pipeline).entries()) {
          const rows = Math.round((this.rows / (at + 2)) * (layer === 'bronze' ? 1 : 0.4));
          const error = this.mode === 'failing' && pipeline === 'shop' && at === 2 && layer === 'silver' ? 'Column total changed from numeric(12,2) to text at the source.' : undefined;
          made.push({ layer, name: `${pipeline}_${table}`, writer: pipeline, rows, bytes: rows * 31, files: 14 + at * 9, hot_rows: Math.round(2000 * Math.random()), last_commit_us: us() - 2.1e6, error });
        }
      }
    }
    if (this.names.length > 0) for (const [name, { columns }] of Object.entries(GOLD)) made.push({ layer: 'gold', name, writer: name, rows: 3_650 * columns.length, bytes: 812_000, files: 1, hot_rows: 0, last_commit_us: us() - 41e6 });
    return made;
  }
  columns(layer, name) {
    const gold = layer === 'gold' && GOLD[name];
    if (gold) return gold.columns;
    const shape = Object.entries(SHAPES).find(([table]) => name.endsWith(table))?.[1] ?? [['id', 'bigint'], ['payload', 'json']];
    return layer === 'bronze' ? [...shape, ...CHANGE] : shape;
  }
  table(layer, name) {
    const summary = this.tables().find((table) => table.layer === layer && table.name === name);
    if (!summary) return undefined;
    const gold = layer === 'gold' && GOLD[name];
    const base = `file:///var/lib/lakebox/lake/${layer}/${name}`;
    return {
      ...summary, location: base, metadata_location: `${base}/metadata/01482-5f0c8a1e-3f8c-4f7e-8a43-7c6f0d0b5d11.metadata.json`, format_version: 2,
      columns: this.columns(layer, name).map(([column, type], at) => ({ id: at + 1, name: column, type, required: column === 'id', doc: column === 'risk_score' ? 'From 0 (no risk) to 1; computed nightly.' : undefined })),
      key: layer === 'silver' ? ['id'] : [], sort_order: gold ? gold.sort : '', cursor: '0/16B3748', deleted_rows: layer === 'silver' ? Math.round(summary.rows * 0.021) : 0, delete_bytes: layer === 'silver' ? 211_000 : 0,
      upstream: gold ? gold.from : layer === 'silver' ? [`bronze.${name}`] : [`public.${name.replace(/^[a-z]+_/, '')}`],
      downstream: layer === 'bronze' ? [`silver.${name}`] : Object.entries(GOLD).filter(([, model]) => model.from.includes(`${layer}.${name}`)).map(([model]) => `gold.${model}`),
      properties: [{ name: 'gc.enabled', value: 'false' }, { name: 'write.parquet.compression-codec', value: 'zstd' }, { name: 'comment', value: LOREM }],
    };
  }
  snapshots(layer, name) {
    let total = this.tables().find((table) => table.layer === layer && table.name === name)?.rows ?? 0;
    return Array.from({ length: 180 }, (_, at) => {
      const added = 21_000 + ((at * 977) % 4000);
      const made = { id: String(6_312_447_831_224_906_000n + BigInt(at * 77)), at_us: us() - at * 5e6, operation: layer === 'bronze' ? 'append' : 'overwrite', added_rows: added, deleted_rows: layer === 'bronze' ? 0 : 512 + at, added_files: 1, added_bytes: added * 31, total_rows: total, cursor: `0/${(0x16b3748 - at * 911).toString(16).toUpperCase()}`, current: at === 0 };
      total -= added;
      return made;
    });
  }
  files(layer, name) {
    const count = this.tables().find((table) => table.layer === layer && table.name === name)?.files ?? 0;
    return Array.from({ length: count }, (_, at) => ({ path: `file:///var/lib/lakebox/lake/${layer}/${name}/data/${String(at).padStart(5, '0')}-${randomUUID()}.parquet`, content: at % 6 === 5 ? 'position deletes' : 'data', rows: 500_000 - at * 1_711, deleted_rows: at * 212, bytes: 64_000_000 / (at + 1), sequence: 1_482 - at }));
  }

  crawlers() {
    const columns = [{ name: 'id', type: 'bigint' }, { name: 'amount', type: 'numeric(38,2)' }, { name: 'day', type: 'date' }];
    const table = (name, format, more = {}) => ({ name, path: `/data/landing/${name}`, format, columns, partitions: ['day'], files: 31, bytes: 48e6, rows: null, error: null, hint: null, ...more });
    return [{
      name: 'landing', url: '/data/landing', format: null, every_ms: 600_000, state: 'failing', crawling_since_us: null, crawled_us: us() - 90e6, elapsed_ms: 412, error: null, hint: null,
      tables: [
        table('orders', 'csv'),
        table('ledger', 'delta', { rows: 1_204_332 }),
        table('rates', 'csv', { columns: [], partitions: [], files: 1, bytes: 512, error: '/data/landing/rates/rates.csv: line 7: a quote is opened and never closed', hint: 'Close it, or double quotes that are part of a text.' }),
      ],
      drift: [
        { seen_us: us() - 90e6, crawler: 'landing', table: 'orders', kind: 'type_changed', column: 'amount', was: 'bigint', becomes: 'numeric(38,2)', file: '/data/landing/orders/day=2026-01-31/part-0.csv' },
        { seen_us: us() - 4_000e6, crawler: 'landing', table: 'orders', kind: 'column_added', column: 'note', was: null, becomes: 'text', file: '/data/landing/orders/day=2026-01-30/part-0.csv' },
      ],
    }];
  }
  uploads() {
    return [{ name: 'orders.csv', path: 'uploads/orders.csv', bytes: 48_210, modified_us: us() - 600e6 }];
  }
  transforms() {
    if (this.names.length === 0) return [];
    const failing = this.mode === 'failing';
    return [
      { name: 'mask_pii', path: 'plugins/mask_pii.wasm', description: 'Replaces personal data by a keyed hash that still joins.', version: '1.2.0', hash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', state: 'ready', error: null, memory_bytes_max: 67_108_864, batch_ms_max: 1000, on_error: 'dead_letter', config: { columns: ['email', 'full_name'], keep_domain: true }, used_by: this.names.slice(0, 3), rows_in: this.rows, rows_out: this.rows - 1204, dead: 1204, traps: 3, ns_per_row: 212.4 },
      ...(failing ? [{ name: 'score', path: 'plugins/score.wasm', description: '', version: '', hash: '', state: 'failed', error: 'plugins/score.wasm is not a component of contract lakebox:transform@1: it exports no function "transform". Build it with the SDK of the same version.', memory_bytes_max: 33_554_432, batch_ms_max: 500, on_error: 'stop', config: null, used_by: ['shop'], rows_in: 0, rows_out: 0, dead: 0, traps: 0, ns_per_row: 0 }] : []),
    ];
  }
  deadLetters(search) {
    if (this.names.length === 0) return [];
    const limit = Number(search.get('limit') ?? 100);
    const errors = ['trap: unreachable executed in mask_email', 'ran out of time: the batch took longer than 1 s', 'ran out of memory: asked for 96 MB of 64 MB'];
    return Array.from({ length: 1204 }, (_, at) => ({ source: at % 4 ? 'demo' : (this.names[1] ?? 'demo'), table: ['customers', 'payments'][at % 2], transform: 'mask_pii', plugin_version: '1.2.0 (9f86d081)', error: errors[at % 3], position: `0/${(0x16b3748 - at * 31).toString(16).toUpperCase()}`, op: 'cud'[at % 3], row: JSON.stringify({ id: 9_100_000 - at, full_name: 'Zoë Ångström', email: `zoe${at}@example.org`, attributes: { tags: ['vip', 'late'], limits: { daily: 1200.5 } } }), commit_ts_us: us() - at * 2.7e6 }))
      .filter((letter) => (!search.get('transform') || letter.transform === search.get('transform')) && (!search.get('source') || letter.source === search.get('source')))
      .slice(0, limit);
  }

  models() {
    if (this.names.length === 0) return [];
    return Object.entries(GOLD).map(([name, model], at) => {
      const failed = this.mode === 'failing' && at === 1;
      return {
        name, description: ['Payments by day and method, for the finance report.', 'What is lent and what is still owed.', 'Balances of all accounts; they sum to zero.', ''][at], schedule: ['on commit', '0 */15 * * * *', 'on commit', 'manual'][at],
        sql: `-- ${name}\nselect\n  ${model.columns.map(([column]) => column).join(',\n  ')}\nfrom {{ ref('${model.from[0]?.split('.')[1]}') }}\ngroup by 1, 2\norder by 1`,
        state: this.running.has(name) ? 'running' : failed ? 'failed' : at === 3 ? 'pending' : 'ok', last_run: at === 3 ? null : this.modelRuns(name)[0], next_run_us: at === 1 ? us() + 412e6 : null, upstream: model.from, sort_order: model.sort, rows: 3_650 * model.columns.length,
      };
    });
  }
  modelRuns(name) {
    const at = Object.keys(GOLD).indexOf(name);
    this.runs[name] ??= Array.from({ length: 40 }, (_, nth) => {
      const failed = this.mode === 'failing' && at === 1 && nth < 3;
      return { id: randomUUID(), model: name, started_us: us() - 41e6 - nth * 61e6, elapsed_ms: failed ? 12.1 : 1_800 + ((nth * 131) % 900), state: failed ? 'failed' : 'ok', rows: failed ? 0 : 3_650, error: failed ? 'Division by zero in column outstanding, line 4.' : null, trigger: nth === 5 ? 'request' : 'commit', as_of: this.asOf() };
    });
    return this.runs[name];
  }
  runModel(name) {
    const run = { id: randomUUID(), model: name, started_us: us(), elapsed_ms: 0, state: 'running', rows: 0, error: null, trigger: 'request', as_of: this.asOf() };
    this.modelRuns(name).unshift(run);
    this.running.set(name, run);
    return run;
  }

  schema() {
    const system = [['queries', [['id', 'text'], ['query', 'text'], ['state', 'text'], ['elapsed_ms', 'double']]], ['dead_letters', [['source', 'text'], ['error', 'text'], ['row', 'json']]]];
    const shaped = (layer, name, columns) => ({ layer, name, columns: columns.map(([column, type]) => ({ name: column, type })) });
    return { tables: [...this.tables().map(({ layer, name }) => shaped(layer, name, this.columns(layer, name))), ...system.map(([name, columns]) => shaped('system', name, columns))], functions: ['count', 'sum', 'avg', 'min', 'max', 'date_trunc', 'coalesce', 'now', 'json_get', 'approx_percentile_cont'] };
  }
  asOf() {
    return this.names.slice(0, 2).map((source) => ({ source, cursor: '0/16B3748', commit_ts_us: us() - 420_000 }));
  }
  about() {
    return { version: '0.1.0', license: 'Apache-2.0', pgwire: '127.0.0.1:5480', warehouse: '/var/lib/lakebox/lake', config_path: this.mode === 'full' ? undefined : '/etc/lakebox/lakebox.yaml', demo: this.mode === 'full' };
  }

  save(body) {
    const kept = { ...body, id: body.id || randomUUID(), updated_us: us() };
    this.saved = [kept, ...this.saved.filter((query) => query.id !== kept.id)];
    return kept;
  }
  begin(body) {
    const run = { id: body.id ?? randomUUID(), query: body.query, state: 'running', client: 'http', started_us: us(), elapsed_ms: 0, rows: 0, bytes_scanned: 0 };
    this.queries.unshift(run);
    return run;
  }
  finish(run, state, error) {
    Object.assign(run, { state, elapsed_ms: (us() - run.started_us) / 1000, bytes_scanned: state === 'done' ? 4_218_332 : 0, ...(error ? { error } : {}) });
  }
  async sleep(run, ms) {
    const until = Date.now() + ms;
    while (Date.now() < until && run.state === 'running') await new Promise((done) => setTimeout(done, 50));
    if (run.state === 'cancelled') throw new Error('Cancelled.');
  }
  cancel(id) {
    const run = this.queries.find((query) => query.id === id);
    if (run) run.state = 'cancelled';
  }
}
