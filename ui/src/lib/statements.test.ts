import { expect, it } from 'vitest';
import { lineColumnOf, offsetOf, statementAt, statements } from './statements';

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
