import { type Data, DataType, type Decimal, type Field, type Interval, type RecordBatch, type Schema, TimeUnit, type Timestamp, Type, Vector } from 'apache-arrow';
import type { Kind, ResultColumn, ResultSet } from './result';

type Order = number | bigint | string | null;
interface Batch {
  start: number;
  columns: Data[];
}

/** Arrow batches as a result set. Values are read from the buffers themselves: nothing is rounded to what a JavaScript date or number holds. */
export class ArrowResult implements ResultSet {
  readonly columns: ResultColumn[];
  private last = 0;

  private constructor(
    private readonly schema: Schema,
    private readonly batches: Batch[],
    readonly rowCount: number,
  ) {
    this.columns = schema.fields.map((field) => ({ name: field.name, type: typeName(field.type), kind: kindOf(field.type) }));
  }

  static empty(schema: Schema): ArrowResult {
    return new ArrowResult(schema, [], 0);
  }

  /** The same rows and those of more batches. */
  with(more: RecordBatch[]): ArrowResult {
    const batches = [...this.batches];
    let rows = this.rowCount;
    for (const batch of more) {
      if (batch.numRows === 0) continue;
      batches.push({ start: rows, columns: batch.data.children });
      rows += batch.numRows;
    }
    return new ArrowResult(this.schema, batches, rows);
  }

  /** The first rows only. */
  take(rows: number): ArrowResult {
    return new ArrowResult(this.schema, this.batches, Math.min(rows, this.rowCount));
  }

  text(column: number, row: number): string | null {
    const [data, at] = this.find(column, row);
    return data?.getValid(at) ? textOf(data, at) : null;
  }

  order(column: number, row: number): Order {
    const [data, at] = this.find(column, row);
    return data?.getValid(at) ? orderOf(data, at) : null;
  }

  private find(column: number, row: number): [Data | undefined, number] {
    const here = this.batches[this.last];
    const next = this.batches[this.last + 1];
    if (!here || row < here.start || (next && row >= next.start)) {
      let low = 0;
      let high = this.batches.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if ((this.batches[middle]?.start ?? 0) <= row) low = middle;
        else high = middle - 1;
      }
      this.last = low;
    }
    const batch = this.batches[this.last];
    return [batch?.columns[column], row - (batch?.start ?? 0)];
  }
}

function orderOf(data: Data, at: number): Order {
  const { type, values } = data;
  if (DataType.isInt(type) || DataType.isFloat(type)) return type.typeId === Type.Float && type.precision === 0 ? (valueOf(data, at) as number) : values[at];
  if (DataType.isTimestamp(type) || DataType.isTime(type) || DataType.isDuration(type) || DataType.isDate(type)) return values[at];
  if (DataType.isDecimal(type)) return unscaled(data, at);
  if (DataType.isBool(type)) return valueOf(data, at) ? 1 : 0;
  return textOf(data, at);
}

/** Making a vector costs more than reading from it, and a grid reads one cell at a time. */
const vectors = new WeakMap<Data, Vector>();
function valueOf(data: Data, at: number): unknown {
  let vector = vectors.get(data);
  if (!vector) vectors.set(data, (vector = new Vector([data])));
  return vector.get(at);
}

const UNIT_DIGITS: Record<number, number> = { [TimeUnit.SECOND]: 0, [TimeUnit.MILLISECOND]: 3, [TimeUnit.MICROSECOND]: 6, [TimeUnit.NANOSECOND]: 9 };

function textOf(data: Data, at: number): string {
  const { type, values } = data;
  if (DataType.isTimestamp(type)) return timestampText(BigInt(values[at]), UNIT_DIGITS[type.unit] ?? 6) + (type.timezone ? 'Z' : '');
  if (DataType.isDate(type)) return type.unit === 0 ? dateText(BigInt(values[at])) : dateText(floorDiv(BigInt(values[at]), 86_400_000n));
  if (DataType.isTime(type)) return timeText(BigInt(values[at]), UNIT_DIGITS[type.unit] ?? 6);
  if (DataType.isDecimal(type)) return decimalText(unscaled(data, at), type.scale);
  if (DataType.isInterval(type)) return intervalText(data, at);
  if (isNested(type)) return JSON.stringify(plain(data, at));
  const value = valueOf(data, at);
  if (value instanceof Uint8Array) return hexText(value);
  return String(value);
}

const isNested = (type: DataType) =>
  DataType.isList(type) || DataType.isLargeList(type) || DataType.isFixedSizeList(type) || DataType.isStruct(type) || DataType.isMap(type);

/** A nested value as plain JSON; numbers that JSON readers would round stay text. */
function plain(data: Data, at: number): unknown {
  if (!data.getValid(at)) return null;
  const { type, children } = data;
  if (DataType.isStruct(type)) return Object.fromEntries((type.children as Field[]).map((field, child) => [field.name, part(children[child], at)]));
  if (DataType.isFixedSizeList(type)) return Array.from({ length: type.listSize }, (_, item) => part(children[0], at * type.listSize + item));
  if (isNested(type)) {
    const offsets = data.valueOffsets as unknown as ArrayLike<number | bigint>;
    const [from, to] = [Number(offsets[at]), Number(offsets[at + 1])];
    const items = Array.from({ length: to - from }, (_, item) => part(children[0], from + item));
    if (!DataType.isMap(type)) return items;
    return Object.fromEntries(items.map((item) => Object.values(item as object)).map(([key, value]) => [String(key), value as unknown]));
  }
  if (DataType.isInt(type)) {
    const value = data.values[at] as number | bigint;
    return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  }
  if (DataType.isFloat(type)) {
    const value = valueOf(data, at) as number;
    return Number.isFinite(value) ? value : String(value);
  }
  return DataType.isBool(type) ? valueOf(data, at) : textOf(data, at);
}

const part = (data: Data | undefined, at: number): unknown => (data ? plain(data, at) : null);

/** A decimal's digits without its point. */
function unscaled(data: Data, at: number): bigint {
  const values = data.values as Uint32Array | Int32Array | BigInt64Array;
  if (values instanceof BigInt64Array) return values[at] ?? 0n;
  const words = (data.type as Decimal).bitWidth / 32;
  let value = 0n;
  for (let word = words - 1; word >= 0; word -= 1) value = (value << 32n) | BigInt((values[at * words + word] ?? 0) >>> 0);
  return BigInt.asIntN(words * 32, value);
}

export function decimalText(digits: bigint, scale: number): string {
  if (scale <= 0) return String(digits * 10n ** BigInt(-scale));
  const sign = digits < 0n ? '-' : '';
  const text = String(digits < 0n ? -digits : digits).padStart(scale + 1, '0');
  return `${sign}${text.slice(0, -scale)}.${text.slice(-scale)}`;
}

const floorDiv = (a: bigint, b: bigint): bigint => (a >= 0n || a % b === 0n ? a / b : a / b - 1n);

/** Days since 1970 as a date of the proleptic Gregorian calendar; years before 1 as PostgreSQL writes them. */
export function dateText(days: bigint): string {
  // Counting from March of year 0 puts the leap day last in each year.
  const shifted = days + 719_468n;
  const era = floorDiv(shifted, 146_097n);
  const day = Number(shifted - era * 146_097n);
  const yearOfEra = Math.floor((day - Math.floor(day / 1460) + Math.floor(day / 36_524) - Math.floor(day / 146_096)) / 365);
  const dayOfYear = day - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const month = Math.floor((5 * dayOfYear + 2) / 153);
  const date = dayOfYear - Math.floor((153 * month + 2) / 5) + 1;
  const calendarMonth = month < 10 ? month + 3 : month - 9;
  const year = era * 400n + BigInt(yearOfEra) + (calendarMonth <= 2 ? 1n : 0n);
  const shown = year > 0n ? year : 1n - year;
  return `${String(shown).padStart(4, '0')}-${String(calendarMonth).padStart(2, '0')}-${String(date).padStart(2, '0')}${year > 0n ? '' : ' BC'}`;
}

/** A time of day; the fraction without its trailing zeros. */
export function timeText(value: bigint, digits: number): string {
  const unit = 10n ** BigInt(digits);
  const seconds = Number(value / unit);
  const fraction = String(value % unit).padStart(digits, '0').replace(/0+$/, '');
  const two = (part: number) => String(part).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${digits > 0 && fraction ? `.${fraction}` : ''}`;
}

export function timestampText(value: bigint, digits: number): string {
  const day = 86_400n * 10n ** BigInt(digits);
  const days = floorDiv(value, day);
  const date = dateText(days);
  const time = timeText(value - days * day, digits);
  return date.endsWith(' BC') ? `${date.slice(0, -3)} ${time} BC` : `${date} ${time}`;
}

function intervalText(data: Data, at: number): string {
  const values = data.values as Int32Array;
  const unit = (data.type as Interval).unit;
  if (unit === 0) return `${values[at]} months`;
  if (unit === 1) return `${values[2 * at]} days ${values[2 * at + 1]} ms`;
  const nanos = new BigInt64Array(values.buffer, values.byteOffset + 16 * at + 8, 1)[0] ?? 0n;
  const sign = nanos < 0n ? '-' : '';
  return [values[4 * at] && `${values[4 * at]} months`, values[4 * at + 1] && `${values[4 * at + 1]} days`, `${sign}${timeText(nanos < 0n ? -nanos : nanos, 9)}`].filter(Boolean).join(' ');
}

/** Bytes as PostgreSQL writes them: `\x0aff`. */
export const hexText = (bytes: Uint8Array): string => `\\x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;

function kindOf(type: DataType): Kind {
  if (DataType.isDictionary(type)) return kindOf(type.dictionary);
  if (DataType.isInt(type) || DataType.isFloat(type) || DataType.isDecimal(type)) return 'number';
  if (DataType.isTimestamp(type) || DataType.isDate(type)) return 'time';
  if (DataType.isBool(type)) return 'bool';
  if (isNested(type)) return 'json';
  return [Type.Binary, Type.LargeBinary, Type.FixedSizeBinary, Type.BinaryView].includes(type.typeId) ? 'binary' : 'text';
}

/** The SQL name of an Arrow type. */
function typeName(type: DataType): string {
  if (DataType.isDictionary(type)) return typeName(type.dictionary);
  if (DataType.isInt(type)) return `${type.isSigned ? '' : 'unsigned '}${{ 8: 'tinyint', 16: 'smallint', 32: 'integer', 64: 'bigint' }[type.bitWidth] ?? 'integer'}`;
  if (DataType.isFloat(type)) return ['half', 'real', 'double'][type.precision] ?? 'double';
  if (DataType.isDecimal(type)) return `decimal(${type.precision},${type.scale})`;
  if (DataType.isTimestamp(type)) return (type as Timestamp).timezone ? 'timestamptz' : 'timestamp';
  if (DataType.isStruct(type)) return `struct(${(type.children as Field[]).map((field) => field.name).join(', ')})`;
  if (DataType.isMap(type)) return 'map';
  if (isNested(type)) return `${typeName((type.children as Field[])[0]?.type ?? type)}[]`;
  const names: Partial<Record<Type, string>> = {
    [Type.Null]: 'null',
    [Type.Bool]: 'boolean',
    [Type.Date]: 'date',
    [Type.Time]: 'time',
    [Type.Interval]: 'interval',
    [Type.Duration]: 'duration',
    [Type.Utf8]: 'text',
    [Type.LargeUtf8]: 'text',
    [Type.Utf8View]: 'text',
    [Type.Binary]: 'bytea',
    [Type.LargeBinary]: 'bytea',
    [Type.BinaryView]: 'bytea',
    [Type.FixedSizeBinary]: 'bytea',
  };
  return names[type.typeId] ?? String(type);
}
