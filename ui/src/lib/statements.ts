export interface Statement {
  /** Offsets in the text; `to` is before the semicolon. */
  from: number;
  to: number;
}

/** The statements of a text, split at semicolons outside of quotes, dollar quotes and comments. Empty ones are left out. */
export function statements(text: string): Statement[] {
  const found: Statement[] = [];
  let start = 0;
  let at = 0;
  const close = (to: number) => {
    const body = text.slice(start, to);
    const lead = body.length - body.trimStart().length;
    if (body.trim() !== '') found.push({ from: start + lead, to: start + body.trimEnd().length });
    start = to + 1;
  };
  while (at < text.length) {
    const char = text[at];
    const two = text.slice(at, at + 2);
    if (char === ';') {
      close(at);
      at += 1;
    } else if (two === '--') at = after(text, '\n', at + 2);
    else if (two === '/*') at = after(text, '*/', at + 2);
    else if (char === "'" || char === '"') at = after(text, char, at + 1);
    else if (char === '$') {
      const tag = /^\$[A-Za-z_]*\$/.exec(text.slice(at, at + 64))?.[0];
      at = tag ? after(text, tag, at + tag.length) : at + 1;
    } else at += 1;
  }
  close(text.length);
  return found;
}

function after(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from);
  return at < 0 ? text.length : at + end.length;
}

/** The statement that the cursor is in or just behind; the last one before it otherwise. */
export function statementAt(text: string, cursor: number): Statement | undefined {
  const all = statements(text);
  return all.findLast((statement) => statement.from <= cursor) ?? all[0];
}

/** The offset of a one-based line and column. */
export function offsetOf(text: string, line: number, column: number): number {
  let at = 0;
  for (let seen = 1; seen < line; seen += 1) {
    const next = text.indexOf('\n', at);
    if (next < 0) break;
    at = next + 1;
  }
  return Math.min(text.length, at + Math.max(0, column - 1));
}

/** The one-based line and column of an offset. */
export function lineColumnOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 };
}

const CHANGING = new Set(['insert', 'update', 'delete', 'merge', 'truncate', 'create', 'drop', 'alter', 'comment', 'copy', 'call']);

/** The words of a statement outside of quotes, comments and parentheses, in lower case. */
function words(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const char = text[at] ?? '';
    const two = text.slice(at, at + 2);
    if (two === '--') at = after(text, '\n', at + 2);
    else if (two === '/*') at = after(text, '*/', at + 2);
    else if (char === "'" || char === '"') at = after(text, char, at + 1);
    else if (/[a-z_]/i.test(char)) {
      const word = /^\w+/.exec(text.slice(at, at + 128))?.[0] ?? char;
      if (depth === 0) found.push(word.toLowerCase());
      at += word.length;
    } else {
      if (char === '(') depth += 1;
      if (char === ')') depth -= 1;
      at += 1;
    }
  }
  return found;
}

/** Whether a statement makes or changes something, so that running it once more is not the same as running it once. */
export function changesData(query: string): boolean {
  const [first, ...rest] = words(query);
  if (first === undefined) return false;
  if (first !== 'with') return CHANGING.has(first);
  // Behind the common table expressions comes the statement itself.
  const main = rest.find((word) => ['select', 'values', 'table', 'insert', 'update', 'delete', 'merge'].includes(word));
  return main !== undefined && CHANGING.has(main);
}

const NAME = /(?:"(?:[^"]|"")+"|[a-z_][\w$]*)/i.source;
const TARGET = new RegExp(
  `^(?:insert\\s+into|update|delete\\s+from|merge\\s+into|truncate(?:\\s+table)?|alter\\s+table(?:\\s+if\\s+exists)?|create\\s+(?:or\\s+replace\\s+)?table(?:\\s+if\\s+not\\s+exists)?)\\s+(${NAME})\\.(${NAME})`,
  'i',
);

/** The table that a statement changed, where it can be looked at afterwards. */
export function targetOf(query: string): { layer: string; name: string } | undefined {
  const found = TARGET.exec(query.replace(/--.*$|\/\*[^]*?\*\//gm, ' ').trim());
  if (!found?.[1] || !found[2]) return undefined;
  const bare = (name: string) => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase());
  return { layer: bare(found[1]), name: bare(found[2]) };
}
