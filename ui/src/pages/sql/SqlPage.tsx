import './sql.css';
import { useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { savedQueries, schema } from '@/api/queries';
import type { SavedQuery, Upload } from '@/api/types';
import { lineColumnOf, offsetOf } from '@/lib/statements';
import { oneOf, text, useViewState } from '@/lib/view-state';
import { Editor, type EditorHandle } from './Editor';
import { DropHint, UploadProgress } from './Files';
import { Results, type View } from './Results';
import { SaveDialog } from './SaveDialog';
import { PANELS, SidePanel } from './SidePanel';
import { TabStrip } from './TabStrip';
import { Toolbar } from './Toolbar';
import type { ChartChoice } from './chart-of';
import { useTabs } from './tabs';
import { useEstimate } from './use-estimate';
import { useRuns } from './use-runs';
import { useSplit } from './use-split';
import { statementFor, useDrop, useUpload } from './use-upload';

const LIMITS = ['100000', '1000', '10000', '1000000'] as const;
const NARROW = 720;
/** Whether the side panel lies over the editor, so that it has to go once something was chosen in it. */
const covers = () => innerWidth <= NARROW;

/** Ask anything: editor, results, chart, history, saved queries. */
export default function SqlPage() {
  const [search, set] = useViewState();
  const { tabs, change, close, open } = useTabs();
  const { data: catalog } = useQuery(schema);
  const { data: saved } = useQuery(savedQueries);
  const maxRows = Number(oneOf(search, 'limit', LIMITS));
  const { runs, run, cancel } = useRuns(maxRows);
  const editor = useRef<EditorHandle>(null);
  const [saving, setSaving] = useState(false);
  const { height, splitter } = useSplit();

  const tab = tabs.find((each) => each.id === text(search, 'tab')) ?? tabs[0];
  const current = tab && runs[tab.id];
  const { ahead, look } = useEstimate(editor, tab?.id);
  // On a phone the panel covers the page, so that it opens where the URL names it.
  const side = text(search, 'side', !covers() || search.panel !== undefined ? 'open' : 'closed') !== 'closed';

  useEffect(() => {
    document.title = 'SQL · lakebox';
  }, []);

  const show = useCallback((id: string) => set({ tab: id, q: undefined, saved: undefined, new: undefined, ...(covers() ? { side: 'closed' } : {}) }), [set]);
  const openSaved = useCallback((query: SavedQuery) => show(open({ title: query.name, query: query.query, saved: query.id })), [open, show]);

  // Links bring a query, a saved query or the wish for an empty tab; each becomes a tab, and the URL then names that.
  const asked = text(search, 'q');
  const askedSaved = text(search, 'saved');
  const wantsNew = search.new !== undefined;
  const taken = useRef('');
  useEffect(() => {
    const wish = asked ? `q ${asked}` : askedSaved ? `saved ${askedSaved}` : wantsNew ? 'new' : '';
    if (wish === taken.current) return;
    if (askedSaved && !asked && !saved) return;
    taken.current = wish;
    if (asked) show(open({ query: asked }));
    else if (askedSaved) {
      const found = saved?.find((query) => query.id === askedSaved);
      if (found) openSaved(found);
      else set({ saved: undefined });
    } else if (wantsNew) show(open({}));
  }, [asked, askedSaved, wantsNew, saved, open, openSaved, show, set]);

  const execute = useCallback(
    (prefix = '') => {
      const chosen = editor.current?.chosen();
      if (tab && chosen) void run(tab.id, prefix + chosen.query, chosen.offset - prefix.length);
    },
    [run, tab],
  );

  // A file that was uploaded is shown at once, in a tab of its own.
  const showUpload = useCallback(
    (upload: Upload) => {
      const query = statementFor(upload);
      const id = open({ title: upload.name, query });
      show(id);
      void run(id, query, 0);
    },
    [open, show, run],
  );
  const { sending, send, cancel: stopSending } = useUpload(showUpload);
  const sendAll = useCallback((files: File[]) => void send(files), [send]);
  const dropping = useDrop(sendAll);

  const mark = useMemo(() => {
    const problem = current?.state === 'failed' ? current.problem : undefined;
    if (!current || problem?.line == null) return undefined;
    return { from: Math.max(0, current.offset + offsetOf(current.query, problem.line, problem.column ?? 1)), message: problem.detail };
  }, [current]);

  if (!tab) return null;
  return (
    <div className="sql" data-side={side}>
      <h1 className="visually-hidden">SQL</h1>
      {dropping && <DropHint />}
      {side && (
        <SidePanel
          panel={oneOf(search, 'panel', PANELS)}
          onPanel={(panel) => set({ panel: panel === 'schema' ? undefined : panel, ...(covers() ? { side: 'open' } : {}) })}
          onInsert={(name) => {
            if (covers()) set({ side: 'closed' });
            editor.current?.insert(name);
          }}
          onOpen={(query) => show(open({ query }))}
          onOpenSaved={openSaved}
          onFiles={sendAll}
          uploading={sending !== undefined}
        />
      )}
      <div className="sql-main">
        <TabStrip
          tabs={tabs}
          here={tab.id}
          running={(id) => runs[id]?.state === 'running'}
          side={side}
          onSide={() => set({ side: side ? 'closed' : 'open' })}
          onShow={show}
          onNew={() => show(open({}))}
          onClose={close}
        />
        <div className="sql-editor-box" style={{ height }}>
          <Editor
            key={tab.id}
            id={tab.id}
            value={tab.query}
            schema={catalog}
            mark={mark}
            handle={editor}
            onChange={(query) => change(tab.id, { query })}
            onMove={look}
            onRun={() => execute()}
            onSave={() => setSaving(true)}
          />
        </div>
        <div {...splitter} />
        <Toolbar
          tab={tab}
          running={current?.state === 'running'}
          ahead={ahead}
          limit={oneOf(search, 'limit', LIMITS)}
          limits={[...LIMITS].sort((a, b) => Number(a) - Number(b))}
          onLimit={(limit) => set({ limit: limit === LIMITS[0] ? undefined : limit })}
          onRun={execute}
          onCancel={() => cancel(tab.id)}
          onSave={() => setSaving(true)}
          onFormatted={(query) => change(tab.id, { query })}
          onFiles={sendAll}
          uploading={sending !== undefined}
        />
        {sending && <UploadProgress sending={sending} onCancel={stopSending} />}
        <Results
          run={current}
          view={oneOf(search, 'view', ['rows', 'chart']) as View}
          chart={chartFrom(search.chart)}
          maxRows={maxRows}
          place={mark && lineColumnOf(tab.query, mark.from)}
          onView={(view) => set({ view: view === 'rows' ? undefined : view })}
          onChart={(chart) => set({ chart })}
          onGoTo={() => mark && editor.current?.goTo(mark.from)}
          onRetry={() => current && void run(tab.id, current.query, current.offset)}
          onCancel={() => cancel(tab.id)}
          onHistory={() => set({ side: 'open', panel: 'history' })}
        />
      </div>
      {saving && <SaveDialog tab={tab} saved={saved?.find((query) => query.id === tab.saved)} onClose={() => setSaving(false)} onSaved={(query) => change(tab.id, { saved: query.id, title: query.name })} />}
    </div>
  );
}

function chartFrom(value: unknown): ChartChoice | undefined {
  const choice = value as Partial<ChartChoice> | undefined;
  const whole = (at: unknown): at is number => Number.isInteger(at) && Number(at) >= 0;
  if (!choice || !whole(choice.x) || !Array.isArray(choice.y) || !choice.y.every(whole)) return undefined;
  if (choice.kind !== 'bar' && choice.kind !== 'line' && choice.kind !== 'scatter') return undefined;
  return { kind: choice.kind, x: choice.x, y: choice.y, ...(whole(choice.by) ? { by: choice.by } : {}) };
}
