import {
  IconCube,
  IconFilterCode,
  IconFolderSearch,
  IconHome,
  IconInfoCircle,
  IconRoute,
  IconTable,
  IconTerminal2,
  type TablerIcon,
} from '@tabler/icons-react';
import type { ComponentType } from 'react';
import type { SkeletonKind } from '@/components/skeleton';

export interface PageEntry {
  path: string;
  title: string;
  skeleton: SkeletonKind;
  load: () => Promise<{ default: ComponentType }>;
  /** Where it stands in the navigation; pages without it are reached from others. */
  nav?: { group: Group; icon: TablerIcon };
  /** Other words a person may look for. */
  words?: string;
}

export const GROUPS = ['Home', 'Explore', 'Data', 'Flow', 'Manage'] as const;
export type Group = (typeof GROUPS)[number];

/** Every page there is. Navigation, routes and command palette all come from this table, so that a page is added in one place. */
export const PAGES: PageEntry[] = [
  {
    path: '/',
    title: 'Overview',
    skeleton: 'overview',
    load: () => import('@/pages/overview/Overview'),
    nav: { group: 'Home', icon: IconHome },
    words: 'health freshness throughput storage home',
  },
  {
    path: '/sql',
    title: 'SQL',
    skeleton: 'editor',
    load: () => import('@/pages/sql/SqlPage'),
    nav: { group: 'Explore', icon: IconTerminal2 },
    words: 'query editor history saved results',
  },
  {
    path: '/tables',
    title: 'Tables',
    skeleton: 'list',
    load: () => import('@/pages/tables/TableList'),
    nav: { group: 'Data', icon: IconTable },
    words: 'bronze silver gold schema snapshots files',
  },
  { path: '/tables/$layer/$name', title: 'Table', skeleton: 'detail', load: () => import('@/pages/tables/TableDetail') },
  {
    path: '/crawlers',
    title: 'Crawlers',
    skeleton: 'list',
    load: () => import('@/pages/crawlers/Crawlers'),
    nav: { group: 'Data', icon: IconFolderSearch },
    words: 'files folders buckets csv json parquet avro delta iceberg drift sources',
  },
  {
    path: '/pipelines',
    title: 'Pipelines',
    skeleton: 'list',
    load: () => import('@/pages/pipelines/PipelineList'),
    nav: { group: 'Flow', icon: IconRoute },
    words: 'sources lag pause resume errors',
  },
  { path: '/pipelines/$name', title: 'Pipeline', skeleton: 'detail', load: () => import('@/pages/pipelines/PipelineDetail') },
  {
    path: '/transforms',
    title: 'Transforms',
    skeleton: 'list',
    load: () => import('@/pages/transforms/Transforms'),
    nav: { group: 'Flow', icon: IconFilterCode },
    words: 'plugins wasm dead letters limits',
  },
  {
    path: '/models',
    title: 'Models',
    skeleton: 'list',
    load: () => import('@/pages/models/ModelList'),
    nav: { group: 'Flow', icon: IconCube },
    words: 'gold runs schedule',
  },
  { path: '/models/$name', title: 'Model', skeleton: 'detail', load: () => import('@/pages/models/ModelDetail') },
  {
    path: '/about',
    title: 'Settings and about',
    skeleton: 'detail',
    load: () => import('@/pages/about/AboutPage'),
    nav: { group: 'Manage', icon: IconInfoCircle },
    words: 'theme dark light version licence connect psql',
  },
];

/** The icons of things that the palette lists beside pages. */
export const THING_ICONS = { table: IconTable, pipeline: IconRoute, model: IconCube, query: IconTerminal2 };

/** The page that a path shows. */
export function pageAt(path: string): PageEntry | undefined {
  const parts = path.split('/');
  return PAGES.find((page) => {
    const wanted = page.path.split('/');
    return wanted.length === parts.length && wanted.every((part, at) => part.startsWith('$') || part === parts[at]);
  });
}
