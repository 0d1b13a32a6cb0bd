import { type AnyRoute, type RouteComponent, createRootRoute, createRoute, createRouter, lazyRouteComponent, useLocation } from '@tanstack/react-router';
import { Page, Empty } from '@/components/parts';
import { IconMapOff } from '@tabler/icons-react';
import { PageBones } from '@/components/skeleton';
import { Frame } from './frame';
import { PAGES, pageAt } from './pages';

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound });

const routes: AnyRoute[] = PAGES.map((page) =>
  createRoute({
    getParentRoute: () => root,
    path: page.path,
    component: lazyRouteComponent(page.load) as RouteComponent,
  }),
);

export const router = createRouter({
  routeTree: root.addChildren(routes),
  defaultPreload: 'intent',
  defaultPendingComponent: Loading,
  defaultPendingMs: 120,
  defaultPendingMinMs: 0,
  scrollRestoration: true,
  scrollToTopSelectors: ['#main'],
});

/** The skeleton of the page that is on its way. */
function Loading() {
  const path = useLocation({ select: (location) => location.pathname });
  return <PageBones kind={pageAt(path)?.skeleton ?? 'list'} />;
}

function NotFound() {
  return (
    <Page title="No such page">
      <Empty icon={IconMapOff} title="Nothing is at this address">
        The link may be old. Everything there is can be found with Ctrl K, or ⌘ K on a Mac.
      </Empty>
    </Page>
  );
}
