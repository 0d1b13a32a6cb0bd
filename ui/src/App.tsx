import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { useState } from 'react';
import { ApiError } from './api/client';
import { router } from './app/router';
import { cssVariables, schemeManager, theme } from './app/theme';

export function App() {
  const [cache] = useState(
    () =>
      new QueryClient({
        defaultOptions: {
          queries: {
            // What the server refused it refuses again; a lost connection is worth one more try.
            retry: (failures, error) => failures < 1 && (!(error instanceof ApiError) || error.problem.status === 0 || error.problem.status >= 502),
            retryDelay: 400,
            refetchOnWindowFocus: true,
            staleTime: 1_000,
            networkMode: 'always',
          },
          mutations: { networkMode: 'always' },
        },
      }),
  );
  return (
    <MantineProvider theme={theme} colorSchemeManager={schemeManager} defaultColorScheme="auto" cssVariablesResolver={cssVariables}>
      <QueryClientProvider client={cache}>
        <RouterProvider router={router} />
        <Notifications position="bottom-right" />
      </QueryClientProvider>
    </MantineProvider>
  );
}
