import { expect, it } from 'vitest';
import { changesData, lineColumnOf, offsetOf, statementAt, statements, targetOf } from './statements';

const texts = (text: string) => statements(text).map(({ from, to }) => text.slice(from, to));

it('splits at semicolons that end statements only', () => {
  expect(texts("select ';' ; -- no; \nselect 2;;\n/* ; */ select $x$;$x$, \";\" ")).toEqual(["select ';'", '-- no; \nselect 2', '/* ; */ select $x$;$x$, ";"']);
  expect(texts(' \n ')).toEqual([]);
  expect(texts("select 'open")).toEqual(["select 'open"]);
});

it('finds the statement at the cursor', () => {
  const text = 'select 1; select 2;';
  expect(statementAt(text, 3)).toEqual({ from: 0, to: 8 });
  expect(statementAt(text, 12)).toEqual({ from: 10, to: 18 });
  expect(statementAt(text, 19)).toEqual({ from: 10, to: 18 });
});

it('turns line and column into an offset', () => {
  expect(offsetOf('ab\ncd', 2, 2)).toBe(4);
  expect(lineColumnOf('ab\ncd', 4)).toEqual({ line: 2, column: 2 });
  expect(offsetOf('ab', 9, 9)).toBe(2);
});

it('tells statements that change something from those that read', () => {
  for (const query of ['UPDATE a.b SET x = 1', '-- first\n insert into a.b values (1)', '/* update */ call system.upkeep()', 'with s as (select 1) merge into a.b t using s on true when matched then delete', 'create table a.b as select 1', 'truncate a.b']) {
    expect(changesData(query), query).toBe(true);
  }
  for (const query of ["select 'update'", 'with gone as (select 1) select * from gone', 'with t as (values (1)) table t', 'explain update a.b set x = 1', 'show tables', '-- delete', '(select 1)', '']) {
    expect(changesData(query), query).toBe(false);
  }
});

it('finds the table that was changed', () => {
  expect(targetOf('-- now\nupdate lab."Big Stock" set x = 1')).toEqual({ layer: 'lab', name: 'Big Stock' });
  expect(targetOf('CREATE TABLE IF NOT EXISTS Lab.Stock (id bigint)')).toEqual({ layer: 'lab', name: 'stock' });
  expect(targetOf('delete from lab.stock using x.y where true')).toEqual({ layer: 'lab', name: 'stock' });
  expect(targetOf('drop table lab.stock')).toBeUndefined();
  expect(targetOf('select * from lab.stock')).toBeUndefined();
});
