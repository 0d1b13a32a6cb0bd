import { useCallback, useEffect, useState } from 'react';

/** One tab of the editor. */
export interface Tab {
  id: string;
  title: string;
  query: string;
  /** The saved query that it shows. */
  saved?: string;
}

const KEY = 'lakebox.sql.tabs';
const TABS_MAX = 30;

const fresh = (): Tab => ({ id: crypto.randomUUID().slice(0, 8), title: '', query: '' });

function stored(): Tab[] {
  try {
    const parsed: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    const tabs = (Array.isArray(parsed) ? parsed : []) as Partial<Tab>[];
    const good = tabs.filter((tab): tab is Tab => typeof tab.id === 'string' && typeof tab.query === 'string');
    return good.length > 0 ? good.map((tab) => ({ ...tab, title: tab.title ?? '' })) : [fresh()];
  } catch {
    return [fresh()];
  }
}

/** The editor's tabs; they outlive reloads. There is always one. */
export function useTabs() {
  const [tabs, setTabs] = useState(stored);
  useEffect(() => {
    const timer = setTimeout(() => localStorage.setItem(KEY, JSON.stringify(tabs)), 200);
    return () => clearTimeout(timer);
  }, [tabs]);
  useEffect(() => {
    const save = () => localStorage.setItem(KEY, JSON.stringify(tabs));
    addEventListener('pagehide', save);
    return () => {
      removeEventListener('pagehide', save);
      save();
    };
  }, [tabs]);

  const change = useCallback((id: string, part: Partial<Tab>) => setTabs((old) => old.map((tab) => (tab.id === id ? { ...tab, ...part } : tab))), []);
  const close = useCallback((id: string) => setTabs((old) => (old.length > 1 ? old.filter((tab) => tab.id !== id) : [fresh()])), []);
  /** Opens a tab with this content, or finds the one that has it, and gives its id. An empty tab is used up. */
  const open = useCallback(
    (content: Partial<Tab>): string => {
      const same = tabs.find((tab) => (content.saved ? tab.saved === content.saved : content.query && tab.query === content.query));
      if (same) return same.id;
      const empty = content.query ? tabs.find((tab) => tab.query.trim() === '' && !tab.saved) : undefined;
      const made = { ...fresh(), ...content, ...(empty ? { id: empty.id } : {}) };
      setTabs((old) => (empty ? old.map((tab) => (tab.id === empty.id ? made : tab)) : [...old, made].slice(-TABS_MAX)));
      return made.id;
    },
    [tabs],
  );
  return { tabs, change, close, open };
}

/** What a tab is called: its own title, or how its query begins. */
export const titleOf = (tab: Tab): string => {
  if (tab.title) return tab.title;
  const start = tab.query.replace(/--.*$/gm, '').replace(/\s+/g, ' ').trim();
  return start === '' ? 'New query' : start.length > 26 ? `${start.slice(0, 25)}…` : start;
};
