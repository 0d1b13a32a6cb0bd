import { expect, it } from 'vitest';
import type { SchemaTree } from '@/api/types';
import { complete, referenced } from './complete';

const schema: SchemaTree = {
  functions: ['date_trunc'],
  tables: [
    { layer: 'silver', name: 'loans', columns: [{ name: 'id', type: 'bigint' }, { name: 'Due Date', type: 'date' }] },
    { layer: 'gold', name: 'book', columns: [{ name: 'total', type: 'decimal(12,2)' }] },
  ],
};
const labels = (statement: string, lead: string, path: string) => complete(schema, statement, lead, path).map((option) => option.label);

it('completes tables after FROM, columns after an alias, and columns of the tables in the statement', () => {
  expect(labels('select * from ', 'select * from ', '')).toContain('silver.loans');
  expect(labels('select * from silver.', 'select * from ', 'silver.')).toEqual(['loans']);
  expect(labels('select l. from silver.loans l', 'select ', 'l.')).toEqual(['id', 'Due Date']);
  expect(labels('select  from gold.book', 'select ', '')).toEqual(['total', 'book', 'date_trunc', 'silver', 'gold']);
});

it('quotes names that need it and does not take keywords for aliases', () => {
  expect(complete(schema, 'select l. from silver.loans l', 'select ', 'l.')[1]?.apply).toBe('"Due Date"');
  expect(referenced(schema, 'select 1 from silver.loans where id > 1 join gold.book as b').map(({ alias }) => alias)).toEqual(['loans', 'b']);
});
