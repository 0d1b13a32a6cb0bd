import type { SchemaTable, SchemaTree } from '@/api/types';
import { quoted } from '@/lib/places';

export interface Option {
  label: string;
  kind: 'table' | 'column' | 'function' | 'layer';
  detail?: string;
  /** What is put in, where that is not the label. */
  apply?: string;
}

const REFERENCE = /\b(?:from|join|into|update)\s+((?:"[^"]+"|[\w$]+)(?:\s*\.\s*(?:"[^"]+"|[\w$]+))?)(?:\s+(?:as\s+)?(?!on\b|where\b|join\b|left\b|right\b|inner\b|full\b|cross\b|group\b|order\b|limit\b|using\b|union\b|having\b|set\b)("[^"]+"|[a-z_][\w$]*))?/gi;

const bare = (name: string) => name.replaceAll('"', '').trim();

/** The tables that a statement names, with the name by which its columns are addressed. */
export function referenced(schema: SchemaTree, statement: string): { alias: string; table: SchemaTable }[] {
  return [...statement.matchAll(REFERENCE)].flatMap((match) => {
    const parts = (match[1] ?? '').split('.').map(bare);
    const name = parts.at(-1) ?? '';
    const layer = parts.length > 1 ? parts[0] : undefined;
    const table = schema.tables.find((each) => each.name === name && (layer === undefined || each.layer === layer));
    return table ? [{ alias: match[2] ? bare(match[2]) : name, table }] : [];
  });
}

const columnsOf = (table: SchemaTable): Option[] => table.columns.map((column) => ({ label: column.name, apply: quoted(column.name), kind: 'column', detail: column.type }));

/**
 * What can stand at the cursor. `path` is what is before it with dots (`silver.pay`), `statement` the whole statement and `lead` its text up to the path.
 */
export function complete(schema: SchemaTree, statement: string, lead: string, path: string): Option[] {
  const parts = path.split('.').map(bare);
  const tables = referenced(schema, statement);
  if (parts.length >= 3) {
    const table = schema.tables.find((each) => each.layer === parts[0] && each.name === parts[1]);
    return table ? columnsOf(table) : [];
  }
  if (parts.length === 2) {
    const owner = parts[0] ?? '';
    const own = tables.find(({ alias }) => alias === owner);
    if (own) return columnsOf(own.table);
    return schema.tables.filter((table) => table.layer === owner).map((table) => ({ label: table.name, apply: quoted(table.name), kind: 'table', detail: `${table.columns.length} columns` }));
  }
  const layers: Option[] = [...new Set(schema.tables.map((table) => table.layer))].map((label) => ({ label, kind: 'layer', apply: `${label}.`, detail: 'layer' }));
  if (/\b(from|join|into|update|table|describe)\s+$/i.test(lead)) {
    return [...layers, ...schema.tables.map((table): Option => ({ label: `${table.layer}.${table.name}`, apply: `${table.layer}.${quoted(table.name)}`, kind: 'table', detail: `${table.columns.length} columns` }))];
  }
  return [
    ...tables.flatMap(({ table }) => columnsOf(table)),
    ...tables.map(({ alias }): Option => ({ label: alias, kind: 'table', apply: quoted(alias) })),
    ...schema.functions.map((label): Option => ({ label, kind: 'function', apply: `${label}(` })),
    ...layers,
  ];
}
