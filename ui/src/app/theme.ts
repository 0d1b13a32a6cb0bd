import { type CSSVariablesResolver, type MantineColorSchemeManager, createTheme, localStorageColorSchemeManager } from '@mantine/core';

/** The scheme is the only thing that is global and not in the URL or the query cache. `public/scheme.js` reads the same key before the first paint. */
export const schemeManager: MantineColorSchemeManager = localStorageColorSchemeManager({ key: 'lakebox.scheme' });

export const theme = createTheme({
  fontFamily: 'var(--font)',
  fontFamilyMonospace: 'var(--mono)',
  defaultRadius: 6,
  cursorType: 'pointer',
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.25rem' },
  components: {
    Button: { defaultProps: { size: 'compact-sm', variant: 'default', h: 28, px: 10, fw: 500 } },
    ActionIcon: { defaultProps: { variant: 'subtle', color: 'gray', size: 28 } },
    TextInput: { defaultProps: { size: 'xs' } },
    NativeSelect: { defaultProps: { size: 'xs' } },
    SegmentedControl: { defaultProps: { size: 'xs' } },
    Modal: { defaultProps: { radius: 10, centered: true, overlayProps: { backgroundOpacity: 0.35 }, transitionProps: { duration: 120 } } },
    Menu: { defaultProps: { shadow: 'md', radius: 8, position: 'bottom-end' } },
    Tooltip: { defaultProps: { openDelay: 250, withArrow: false, multiline: true, maw: 420 } },
    Popover: { defaultProps: { shadow: 'md', radius: 8 } },
  },
});

/** Mantine's variables take their values from `styles/tokens.css`, so that one file holds every colour. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {
    '--mantine-color-body': 'var(--bg)',
    '--mantine-color-text': 'var(--text)',
    '--mantine-color-dimmed': 'var(--muted)',
    '--mantine-color-placeholder': 'var(--faint)',
    '--mantine-color-error': 'var(--bad)',
    '--mantine-color-anchor': 'var(--accent-text)',
    '--mantine-color-default': 'var(--raised)',
    '--mantine-color-default-hover': 'var(--hover)',
    '--mantine-color-default-color': 'var(--text)',
    '--mantine-color-default-border': 'var(--rule-strong)',
    '--mantine-primary-color-filled': 'var(--accent)',
    '--mantine-primary-color-filled-hover': 'var(--accent)',
    '--mantine-primary-color-contrast': 'var(--on-accent)',
    '--mantine-primary-color-light': 'var(--accent-soft)',
    '--mantine-primary-color-light-color': 'var(--accent-text)',
    '--mantine-color-gray-light-hover': 'var(--hover)',
    '--mantine-color-gray-light-color': 'var(--muted)',
    '--mantine-shadow-md': 'var(--shadow)',
  },
  light: {},
  dark: {},
});
