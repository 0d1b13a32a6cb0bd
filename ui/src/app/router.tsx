import { type AnyRoute, type RouteComponent, createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { Page, Empty } from '@/components/parts';
import { IconMapOff } from '@tabler/icons-react';
import { Frame } from './frame';
import { PAGES } from './pages';

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
  scrollRestoration: true,
  scrollToTopSelectors: ['#main'],
});

function NotFound() {
  return (
    <Page title="No such page">
      <Empty icon={IconMapOff} title="Nothing is at this address">
        The link may be old. Everything there is can be found with Ctrl K, or ⌘ K on a Mac.
      </Empty>
    </Page>
  );
}
