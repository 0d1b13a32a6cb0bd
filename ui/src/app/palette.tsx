import { Modal, useMantineColorScheme } from '@mantine/core';
import { IconBolt, IconSearch, type TablerIcon } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useMemo, useRef, useState } from 'react';
import { problemOf } from '@/api/client';
import { actions, models, pipelines, savedQueries, tables } from '@/api/queries';
import { failed, said } from '@/components/notify';
import { modelAt, pipelineAt, tableAt } from '@/lib/places';
import { rank } from '@/lib/rank';
import { PAGES, THING_ICONS } from './pages';

interface Item {
  id: string;
  group: string;
  icon: TablerIcon;
  name: string;
  about?: string | undefined;
  words?: string | undefined;
  run: () => void;
}

const SHOWN_MAX = 60;

/** Reaches every page, table, saved query and action by typing. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const items = useItems(onClose);
  const [wanted, setWanted] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const found = useMemo(() => rank(items, wanted, (item) => item.name, (item) => `${item.group} ${item.words ?? ''} ${item.about ?? ''}`).slice(0, SHOWN_MAX), [items, wanted]);
  const chosen = Math.min(at, found.length - 1);

  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);

  const keys = (event: React.KeyboardEvent) => {
    if (event.key === 'ArrowDown') setAt((chosen + 1) % Math.max(1, found.length));
    else if (event.key === 'ArrowUp') setAt((chosen - 1 + found.length) % Math.max(1, found.length));
    else if (event.key === 'Enter') found[chosen]?.run();
    else return;
    event.preventDefault();
  };

  return (
    <Modal opened onClose={onClose} withCloseButton={false} centered={false} yOffset="12vh" size={600} padding={0} attributes={{ content: { 'aria-label': 'Search' } }}>
      <div className="palette-input">
        <IconSearch size={17} aria-hidden />
        <input
          data-autofocus
          role="combobox"
          aria-expanded
          aria-controls="palette-list"
          aria-activedescendant={found[chosen] ? `palette-${found[chosen].id}` : undefined}
          aria-label="Search pages, tables, saved queries and actions"
          placeholder="Pages, tables, saved queries, actions"
          value={wanted}
          spellCheck={false}
          autoComplete="off"
          onKeyDown={keys}
          onChange={(event) => {
            setWanted(event.currentTarget.value);
            setAt(0);
          }}
        />
      </div>
      <div className="palette-list" id="palette-list" role="listbox" aria-label="Found" ref={list}>
        {found.map((item, index) => (
          <div key={item.id} role="presentation">
            {(wanted === '' || index === 0) && found[index - 1]?.group !== item.group && wanted === '' && (
              <div className="palette-group" role="presentation">
                {item.group}
              </div>
            )}
            <div
              id={`palette-${item.id}`}
              role="option"
              aria-selected={index === chosen}
              className="palette-item"
              onMouseMove={() => setAt(index)}
              onClick={item.run}
            >
              <item.icon size={16} stroke={1.7} aria-hidden />
              <span className="clip">{item.name}</span>
              <span className="about clip">{item.about ?? (wanted === '' ? '' : item.group)}</span>
            </div>
          </div>
        ))}
        {found.length === 0 && <div className="palette-group">Nothing is called “{wanted}”.</div>}
      </div>
    </Modal>
  );
}

function useItems(onClose: () => void): Item[] {
  const navigate = useNavigate();
  const cache = useQueryClient();
  const { setColorScheme } = useMantineColorScheme();
  const { data: allTables = [] } = useQuery(tables);
  const { data: saved = [] } = useQuery(savedQueries);
  const { data: flows = [] } = useQuery(pipelines);
  const { data: made = [] } = useQuery(models);

  return useMemo(() => {
    const go = (place: { to: string; params?: never; search?: never }) => () => {
      onClose();
      void navigate(place);
    };
    const act = (work: () => Promise<unknown>, done: string, what: string) => () => {
      onClose();
      work().then(
        () => {
          said(done);
          return cache.invalidateQueries();
        },
        (error: unknown) => failed(what, problemOf(error)),
      );
    };
    const action = (id: string, name: string, run: () => void, words = ''): Item => ({ id, group: 'Actions', icon: IconBolt, name, words, run });
    return [
      ...PAGES.flatMap((page): Item[] =>
        page.nav ? [{ id: page.path, group: 'Pages', icon: page.nav.icon, name: page.title, words: page.words, run: go({ to: page.path }) }] : [],
      ),
      action('new-query', 'New query', go({ to: '/sql', search: { new: 1 } as never }), 'sql tab'),
      ...saved.map((query): Item => ({ id: `q-${query.id}`, group: 'Saved queries', icon: THING_ICONS.query, name: query.name, run: go({ to: '/sql', search: { saved: query.id } as never }) })),
      ...allTables.map((table): Item => {
        const name = `${table.layer}.${table.name}`;
        return { id: `t-${name}`, group: 'Tables', icon: THING_ICONS.table, name, run: go(tableAt(table.layer, table.name)) };
      }),
      ...flows.map((flow): Item => ({ id: `p-${flow.name}`, group: 'Pipelines', icon: THING_ICONS.pipeline, name: flow.name, about: 'Pipeline', run: go(pipelineAt(flow.name)) })),
      ...made.map((model): Item => ({ id: `m-${model.name}`, group: 'Models', icon: THING_ICONS.model, name: model.name, about: 'Model', run: go(modelAt(model.name)) })),
      ...flows.map((flow) =>
        flow.state === 'paused'
          ? action(`resume-${flow.name}`, `Resume ${flow.name}`, act(() => actions.resume(flow.name), `${flow.name} resumes.`, `Could not resume ${flow.name}`))
          : action(`pause-${flow.name}`, `Pause ${flow.name}`, act(() => actions.pause(flow.name), `${flow.name} is paused.`, `Could not pause ${flow.name}`)),
      ),
      ...made.map((model) => action(`run-${model.name}`, `Run model ${model.name}`, act(() => actions.runModel(model.name), `${model.name} runs.`, `Could not run ${model.name}`))),
      action('dark', 'Use the dark theme', () => (setColorScheme('dark'), onClose())),
      action('light', 'Use the light theme', () => (setColorScheme('light'), onClose())),
      action('system', 'Use the system’s theme', () => (setColorScheme('auto'), onClose()), 'auto'),
    ];
  }, [navigate, cache, setColorScheme, onClose, allTables, saved, flows, made]);
}
