import { acceptCompletion, autocompletion, type CompletionContext, type CompletionResult, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { PostgreSQL, keywordCompletionSource, sql } from '@codemirror/lang-sql';
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { EditorState, Prec } from '@codemirror/state';
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { type Ref, useEffect, useImperativeHandle, useRef } from 'react';
import type { SchemaTree } from '@/api/types';
import { statementAt } from '@/lib/statements';
import { complete } from './complete';

export interface EditorHandle {
  /** What a run would run: the selection, else the statement at the cursor. */
  chosen: () => { query: string; offset: number } | undefined;
  insert: (text: string) => void;
  goTo: (offset: number) => void;
  focus: () => void;
}

/** A problem at its place in the text. */
export interface Mark {
  from: number;
  message: string;
}

interface EditorProps {
  /** Which text this is; another one starts with an empty undo history. */
  id: string;
  value: string;
  schema: SchemaTree | undefined;
  mark: Mark | undefined;
  onChange: (text: string) => void;
  /** The cursor or the selection moved: another statement may be the chosen one. */
  onMove: () => void;
  onRun: () => void;
  onSave: () => void;
  handle: Ref<EditorHandle>;
}

/** The SQL editor. */
export function Editor({ id, value, schema, mark, onChange, onMove, onRun, onSave, handle }: EditorProps) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const latest = useRef({ schema, onChange, onMove, onRun, onSave, value });
  useEffect(() => {
    latest.current = { schema, onChange, onMove, onRun, onSave, value };
  });

  useEffect(() => {
    if (!box.current) return;
    const made = new EditorView({ parent: box.current, state: EditorState.create({ doc: latest.current.value, extensions: extensions(latest) }) });
    view.current = made;
    made.focus();
    return () => made.destroy();
  }, [id]);

  // A text that was changed from outside (formatted, loaded) replaces what is here; what was typed here is already the same.
  useEffect(() => {
    const now = view.current;
    if (now && now.state.doc.toString() !== value) now.dispatch({ changes: { from: 0, to: now.state.doc.length, insert: value } });
  }, [value]);

  useEffect(() => {
    const now = view.current;
    if (!now) return;
    const length = now.state.doc.length;
    const from = Math.min(mark?.from ?? 0, length);
    const word = now.state.wordAt(from);
    const to = Math.min(length, Math.max(word?.to ?? from + 1, from + 1));
    now.dispatch(setDiagnostics(now.state, mark ? [{ from: to > from ? from : Math.max(0, from - 1), to, severity: 'error', message: mark.message }] : []));
  }, [mark, id]);

  useImperativeHandle(handle, () => ({
    chosen: () => {
      const state = view.current?.state;
      if (!state) return undefined;
      const { from, to, head } = state.selection.main;
      const selected = state.sliceDoc(from, to);
      if (selected.trim() !== '') return { query: selected.trim().replace(/;+$/, ''), offset: from + (selected.length - selected.trimStart().length) };
      const statement = statementAt(state.doc.toString(), head);
      return statement && { query: state.sliceDoc(statement.from, statement.to), offset: statement.from };
    },
    insert: (text) => {
      const now = view.current;
      if (!now) return;
      now.dispatch(now.state.replaceSelection(text));
      now.focus();
    },
    goTo: (offset) => {
      const now = view.current;
      if (!now) return;
      now.dispatch({ selection: { anchor: Math.min(offset, now.state.doc.length) }, scrollIntoView: true });
      now.focus();
    },
    focus: () => view.current?.focus(),
  }));

  return <div ref={box} className="sql-editor" />;
}

type Latest = React.RefObject<{ schema: SchemaTree | undefined; onChange: (text: string) => void; onMove: () => void; onRun: () => void; onSave: () => void; value: string }>;

function extensions(latest: Latest) {
  return [
    lineNumbers(),
    history(),
    drawSelection(),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    highlightSelectionMatches(),
    EditorView.lineWrapping,
    placeholder('select …'),
    sql({ dialect: PostgreSQL, upperCaseKeywords: false }),
    autocompletion({ override: [(context) => fromCatalog(latest, context), keywordCompletionSource(PostgreSQL, false)], icons: false, activateOnTypingDelay: 60 }),
    syntaxHighlighting(colours),
    look,
    EditorView.contentAttributes.of({ 'aria-label': 'SQL' }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) latest.current.onChange(update.state.doc.toString());
      if (update.docChanged || update.selectionSet) latest.current.onMove();
    }),
    Prec.highest(
      keymap.of([
        { key: 'Mod-Enter', run: () => (latest.current.onRun(), true) },
        { key: 'Mod-s', run: () => (latest.current.onSave(), true), preventDefault: true },
        { key: 'Tab', run: acceptCompletion },
      ]),
    ),
    // Escape gives Tab back to the browser, so that nobody is caught in the editor.
    keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
  ];
}

function fromCatalog(latest: Latest, context: CompletionContext): CompletionResult | null {
  const schema = latest.current.schema;
  const before = context.matchBefore(/(?:(?:"[^"]*"|[\w$]+)\.)*(?:"[^"]*|[\w$]*)$/);
  if (!schema || !before || (before.text === '' && !context.explicit && !/\b(from|join)\s$/i.test(context.state.sliceDoc(Math.max(0, context.pos - 8), context.pos)))) return null;
  const text = context.state.doc.toString();
  const statement = statementAt(text, context.pos);
  const from = Math.min(statement?.from ?? 0, before.from);
  const options = complete(schema, text.slice(from, Math.max(statement?.to ?? text.length, context.pos)), text.slice(from, before.from), before.text);
  return {
    from: before.from + before.text.lastIndexOf('.') + 1,
    options: options.map((option, at) => ({
      label: option.label,
      type: option.kind,
      boost: (option.kind === 'column' ? 3 : option.kind === 'table' ? 2 : 0) - at / 100_000,
      ...(option.detail ? { detail: option.detail } : {}),
      ...(option.apply ? { apply: option.apply } : {}),
    })),
    validFor: /^[\w$"]*$/,
  };
}

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: 'var(--accent-text)', fontWeight: '500' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--c3)' },
  // Darker than the chart's colour, which is too light for text on the line of the cursor.
  { tag: [tags.number, tags.bool, tags.null], color: 'color-mix(in srgb, var(--c2) 82%, var(--text))' },
  { tag: [tags.lineComment, tags.blockComment], color: 'var(--faint)', fontStyle: 'italic' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'var(--c4)' },
]);

const look = EditorView.theme({
  '&': { height: '100%', fontSize: 'var(--t13)', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-content': { caretColor: 'var(--text)', padding: '10px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--faint)', border: 'none' },
  '.cm-lineNumbers .cm-gutterElement': { padding: '0 10px 0 14px', minWidth: '36px' },
  '.cm-activeLine': { backgroundColor: 'transparent' },
  '&.cm-focused .cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--hover) 55%, transparent)' },
  '.cm-activeLineGutter': { backgroundColor: 'transparent', color: 'var(--text)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--accent) 26%, transparent)' },
  '.cm-selectionMatch': { backgroundColor: 'color-mix(in srgb, var(--accent) 14%, transparent)' },
  '.cm-placeholder': { color: 'var(--faint)' },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', border: '1px solid var(--rule-strong)', borderRadius: '6px', boxShadow: 'var(--shadow)', color: 'var(--text)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: 'var(--t12)', maxHeight: '260px', minWidth: '260px' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '3px 10px', display: 'flex', gap: '16px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent-soft)', color: 'var(--text)' },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
  '.cm-completionDetail': { marginLeft: 'auto', color: 'var(--faint)', fontStyle: 'normal' },
  '.cm-diagnostic': { padding: '6px 10px', borderLeft: '3px solid var(--bad)' },
  '.cm-panels': { backgroundColor: 'var(--sunken)', color: 'var(--text)' },
});
