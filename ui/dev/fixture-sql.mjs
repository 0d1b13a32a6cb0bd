import { Bool, DateDay, Decimal, Field, Float64, Int64, List, RecordBatch, RecordBatchStreamWriter, Schema, Struct, TimestampMicrosecond, Utf8, makeBuilder, makeData, vectorFromArray } from 'apache-arrow';

const DAY = 86_400_000;
const METHODS = ['card', 'transfer', 'cash', 'direct debit'];
const STATES = ['open', 'paid', 'late', 'written off'];

/** Repeatable noise, so that sorting and filtering can be checked. */
const noise = (seed) => {
  const x = Math.sin(seed * 12.9898) * 43_758.5453;
  return x - Math.floor(x);
};

/** Columns and rows that look like an answer to the statement; nothing is computed. */
function pretend(world, query) {
  const text = query.toLowerCase();
  const limit = Number(/limit\s+(\d+)/.exec(text)?.[1] ?? Infinity);
  const rows = (count) => Math.min(count, limit);
  if (/^\s*explain/.test(text)) return { columns: [['plan_type', 'text'], ['plan', 'text']], rows: 2, value: (_, row, column) => (column === 0 ? ['logical_plan', 'physical_plan'][row] : 'Sort: day ASC NULLS LAST\n  Aggregate: groupBy=[[day]], aggr=[[sum(amount)]]\n    TableScan: gold.daily_payments projection=[day, amount]') };
  if (/daily_payments/.test(text)) return { columns: world.columns('gold', 'daily_payments'), rows: rows(30 * METHODS.length), value: cell };
  if (/sum\(|count\(/.test(text) && !/group by/.test(text)) return { columns: [[/as\s+(\w+)/.exec(text)?.[1] ?? 'count(*)', /sum\(/.test(text) ? 'decimal(38,2)' : 'bigint']], rows: 1, value: () => (/sum\(/.test(text) ? 0n : 12_044_812n) };
  if (/generate_series/.test(text)) {
    const columns = [['id', 'bigint'], ['part', 'bigint'], ['name', 'text'], ['third', 'double']];
    return { columns, rows: rows(100_000), value: (_, row, column) => [BigInt(row + 1), BigInt((row + 1) % 97), `row ${row + 1}`, (row + 1) / 3][column] };
  }
  const found = /from\s+(bronze|silver|gold|system)\.(\w+)/.exec(text);
  const columns = found ? world.columns(found[1], found[2]) : [['value', 'bigint']];
  return { columns, rows: rows(found ? (/payments|ledger/.test(found[2]) ? 250_000 : 2_400) : 1), value: cell };
}

/** A value of a column as its exact text or a JavaScript value, null for NULL. */
function cell(name, row) {
  const n = noise(row * 31 + name.length * 7);
  const at = 1_790_000_000_000_000n + BigInt(row) * 61_000_123n;
  switch (name) {
    case 'id': return BigInt(row) + 9_007_199_254_740_990n;
    case 'customer_id': case 'loan_id': case 'transaction_id': return BigInt(Math.floor(n * 90_000));
    case 'payments': case 'loans': return BigInt(Math.floor(200 + n * 1800));
    case '_pos': case '_seq': case '_xid': return BigInt(row * 17);
    case 'day': return Math.floor(1_790_000_000_000 / DAY) - 30 + Math.floor(row / METHODS.length);
    case 'full_name': return ['Zoë Ångström', 'Nguyễn Văn An', 'Ada Lovelace', 'Grace Hopper'][row % 4];
    case 'email': return row % 9 === 4 ? null : `8f14e45f${row.toString(16)}@example.org`;
    case 'country': return ['DE', 'SE', 'VN', 'US', 'BR'][Math.floor(n * n * 5)];
    case 'method': return METHODS[row % METHODS.length];
    case 'state': return STATES[Math.floor(n * n * 4)];
    case 'product': return ['instalment', 'revolving', 'mortgage'][row % 3];
    case 'account': return ['cash', 'receivables', 'fees', 'interest'][row % 4];
    case 'risk_score': return n * n;
    case 'settled': return n > 0.1;
    case 'closed_at': return n < 0.6 ? null : at + 400_000_000_000n;
    case 'attributes': return JSON.stringify({ tags: ['vip', 'late'].slice(0, row % 3), limits: { daily: 100 + row } });
    case 'principal': return BigInt(Math.floor(100_000 + n * 5_000_000));
    case 'annual_rate': return BigInt(Math.floor(2_000 + n * 12_000));
    case '_unchanged': return row % 5 ? [] : ['attributes'];
    case '_op': return 'cudr'[row % 4];
    default: return /_at$|_ts$/.test(name) ? at : /amount|balance|outstanding/.test(name) ? BigInt(Math.floor((n - 0.2) * 900_000)) : BigInt(row);
  }
}

function arrowType(type) {
  const decimal = /^decimal\((\d+),(\d+)\)/.exec(type);
  if (decimal) return new Decimal(Number(decimal[2]), Number(decimal[1]), 128);
  if (type === 'text[]') return new List(new Field('item', new Utf8(), true));
  return { bigint: () => new Int64(), 'unsigned bigint': () => new Int64(), double: () => new Float64(), boolean: () => new Bool(), date: () => new DateDay(), timestamptz: () => new TimestampMicrosecond('UTC') }[type]?.() ?? new Utf8();
}

function column(type, values) {
  if (type instanceof Decimal || type instanceof TimestampMicrosecond) {
    const words = type instanceof Decimal ? new BigInt64Array(values.length * 2) : new BigInt64Array(values.length);
    const valid = new Uint8Array(Math.ceil(values.length / 8) + 8);
    let nulls = 0;
    values.forEach((value, at) => {
      if (value === null) return (nulls += 1);
      valid[at >> 3] |= 1 << (at & 7);
      if (type instanceof Decimal) words.set([value, value < 0n ? -1n : 0n], 2 * at);
      else words[at] = value;
    });
    const data = type instanceof Decimal ? new Uint32Array(words.buffer) : words;
    return makeData({ type, length: values.length, nullCount: nulls, nullBitmap: valid, data });
  }
  if (type instanceof DateDay) return makeData({ type, length: values.length, nullCount: 0, data: Int32Array.from(values) });
  if (type instanceof List) {
    const builder = makeBuilder({ type, nullValues: [null] });
    for (const value of values) builder.append(value);
    return builder.finish().flush();
  }
  return vectorFromArray(values, type).data[0];
}

export async function sqlArrow(world, body, out, run) {
  const made = pretend(world, body.query);
  const count = Math.min(made.rows, body.max_rows ?? Infinity);
  const schema = new Schema(made.columns.map(([name, type]) => new Field(name, arrowType(type), true)));
  const writer = new RecordBatchStreamWriter();
  writer.reset(undefined, schema);
  const done = (async () => {
    for await (const chunk of writer) if (!out.write(chunk)) await new Promise((ready) => out.once('drain', ready));
  })();
  const BATCH = 8_192;
  for (let from = 0; from === 0 || from < count; from += BATCH) {
    const length = Math.max(0, Math.min(BATCH, count - from));
    const children = made.columns.map(([name], at) => column(schema.fields[at].type, Array.from({ length }, (_, row) => made.value(name, from + row, at))));
    writer.write(new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length, nullCount: 0, children })));
    await new Promise((turn) => setImmediate(turn));
    if (run.state === 'cancelled') throw new Error('Cancelled.');
  }
  writer.finish();
  await done;
  run.rows = count;
  out.end();
}

export function sqlJson(world, body, run) {
  const made = pretend(world, body.query);
  const count = Math.min(made.rows, body.max_rows ?? Infinity);
  run.rows = count;
  const rows = Array.from({ length: count }, (_, row) => made.columns.map(([name], at) => {
    const value = made.value(name, row, at);
    return typeof value === 'bigint' ? String(value) : value;
  }));
  return { columns: made.columns.map(([name, type]) => ({ name, type })), rows, row_count: count, truncated: count < made.rows, elapsed_ms: 3.1, bytes_scanned: 4_218_332, query_id: run.id, as_of: world.asOf() };
}

export function sqlCsv(world, body) {
  const made = pretend(world, body.query);
  const lines = [made.columns.map(([name]) => name).join(',')];
  for (let row = 0; row < made.rows; row += 1) lines.push(made.columns.map(([name], at) => String(made.value(name, row, at) ?? '')).join(','));
  return lines.join('\n');
}
