import { ActionIcon, Button, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { IconMenu2, IconMoon, IconPlugConnectedX, IconSearch, IconSun } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { Suspense, lazy, useEffect, useRef } from 'react';
import { problemOf } from '@/api/client';
import type { LiveState } from '@/api/live';
import { overview } from '@/api/queries';
import { Boundary } from '@/components/boundary';
import { Failure } from '@/components/parts';
import { PageBones } from '@/components/skeleton';
import * as format from '@/lib/format';
import { Freshness } from './freshness';
import { useLive } from './live-context';
import { GROUPS, PAGES, type PageEntry, pageAt } from './pages';

const Palette = lazy(() => import('./palette'));
const MAC = /mac|iphone|ipad/i.test(navigator.userAgent);

/** What surrounds every page: navigation, search, live state, and the page's loading and failure. */
export function Frame() {
  const { state, retry } = useLive();
  const path = useLocation({ select: (location) => location.pathname });
  const [navOpen, nav] = useDisclosure(false);
  const [searching, search] = useDisclosure(false);
  useHotkeys([['mod+K', search.toggle]], [], true);
  const entry = pageAt(path);

  const closeNav = nav.close;
  const main = useRef<HTMLElement>(null);
  useEffect(() => closeNav(), [path, closeNav]);

  return (
    <div className="frame" data-stale={state.kind === 'dropped'}>
      <a className="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the page
      </a>
      <header className="topbar phone-only">
        <ActionIcon size={36} aria-label="Open the navigation" aria-expanded={navOpen} onClick={nav.open}>
          <IconMenu2 size={20} />
        </ActionIcon>
        <Brand />
        <Freshness state={state} onRetry={retry} />
        <ActionIcon size={36} aria-label="Search" onClick={search.open}>
          <IconSearch size={18} />
        </ActionIcon>
      </header>
      {navOpen && <button type="button" className="scrim phone-only" aria-label="Close the navigation" onClick={nav.close} />}
      <Side open={navOpen} state={state} onRetry={retry} onSearch={search.open} />
      <main className="main" id="main" tabIndex={-1} ref={main}>
        {state.kind === 'dropped' && <Dropped since={state.since} onRetry={retry} />}
        <div className="outlet">
          <Boundary
            resetKey={path}
            loading={<PageBones kind={entry?.skeleton ?? 'list'} />}
            failure={(error, again) => (
              <div className="page">
                <div className="page-head">
                  <h1>{entry?.title ?? 'Page'}</h1>
                </div>
                <Failure problem={problemOf(error)} onRetry={again} />
              </div>
            )}
          >
            <Outlet />
          </Boundary>
        </div>
      </main>
      <Suspense>{searching && <Palette onClose={search.close} />}</Suspense>
    </div>
  );
}

function Side({ open, state, onRetry, onSearch }: { open: boolean; state: LiveState; onRetry: () => void; onSearch: () => void }) {
  return (
    <nav className="side" data-open={open} aria-label="Pages">
      <Brand />
      <button type="button" className="find" onClick={onSearch}>
        <IconSearch size={14} aria-hidden />
        Search
        <span className="keys">{MAC ? '⌘ K' : 'Ctrl K'}</span>
      </button>
      {GROUPS.map((group) => {
        const pages = PAGES.filter((page) => page.nav?.group === group);
        if (pages.length === 0) return null;
        return (
          <div className="nav-group" key={group}>
            {group !== 'Home' && <h2>{group}</h2>}
            {pages.map((page) => (
              <NavLink key={page.path} page={page} />
            ))}
          </div>
        );
      })}
      <div className="side-foot">
        <Freshness state={state} onRetry={onRetry} />
        <span style={{ marginLeft: 'auto' }}>
          <SchemeToggle />
        </span>
      </div>
    </nav>
  );
}

function NavLink({ page }: { page: PageEntry }) {
  const path = useLocation({ select: (location) => location.pathname });
  const here = page.path === '/' ? path === '/' : path === page.path || path.startsWith(`${page.path}/`);
  const Icon = page.nav?.icon;
  return (
    <Link to={page.path} className="nav-link" aria-current={here ? 'page' : undefined}>
      {Icon && <Icon size={16} stroke={1.7} aria-hidden />}
      {page.title}
      {page.path === '/' && <Problems />}
    </Link>
  );
}

/** How many things are wrong, beside "Overview". Costs no request: the live stream brings it. */
function Problems() {
  const { data } = useQuery({ ...overview, enabled: false });
  const wrong = data?.issues.length ?? 0;
  return wrong > 0 ? (
    <span className="mark" title={format.count(wrong, 'problem')}>
      {wrong}
    </span>
  ) : null;
}

function Brand() {
  return (
    <Link to="/" className="brand" aria-label="lakebox, overview">
      <img src="/favicon.svg" width={20} height={20} alt="" />
      lakebox
    </Link>
  );
}

function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light', { getInitialValueInEffect: false }) === 'dark';
  const Icon = dark ? IconSun : IconMoon;
  return (
    <ActionIcon aria-label={dark ? 'Use the light theme' : 'Use the dark theme'} onClick={() => setColorScheme(dark ? 'light' : 'dark')}>
      <Icon size={16} stroke={1.7} />
    </ActionIcon>
  );
}

function Dropped({ since, onRetry }: { since: number; onRetry: () => void }) {
  return (
    <div className="dropped" role="status">
      <IconPlugConnectedX size={16} aria-hidden />
      <span className="grow">No connection since {format.clock(since * 1000)}. The values below are from then.</span>
      <Button onClick={onRetry}>Retry now</Button>
    </div>
  );
}
