import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

/** Which folder may know which: a fence is a list of import patterns that a folder must not use. */
const fence = (files, patterns) => ({ files, rules: { 'no-restricted-imports': ['error', { patterns }] } });
const pages = ['overview', 'sql', 'tables', 'pipelines', 'transforms', 'models', 'about'];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'src/api/types.gen.ts'] },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.{ts,tsx}'],
    plugins: { 'react-hooks': hooks },
    rules: {
      'react-hooks/rules-of-hooks': 'error',
      'react-hooks/exhaustive-deps': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_$' }],
      'no-restricted-globals': ['error', { name: 'fetch', message: 'Use call() of src/api/client.ts: it is the one fetch function.' }],
    },
  },
  { files: ['src/api/client.ts'], rules: { 'no-restricted-globals': 'off' } },
  fence(['src/lib/**'], [{ group: ['@/api/*', '!@/api/types', '@/app/*', '@/pages/*', '@/components/*'], message: 'lib holds pure functions.' }]),
  fence(['src/components/**'], [
    { group: ['@/api/*', '!@/api/types'], message: 'Components know no endpoint: hand them data.' },
    { group: ['@/app/*', '@/pages/*'], message: 'Components know neither the frame nor a page.' },
  ]),
  fence(['src/api/**'], [{ group: ['@/app/*', '@/pages/*', '@/components/*'], message: 'The API client knows nothing above it.' }]),
  ...pages.map((page) =>
    fence([`src/pages/${page}/**`], [
      { group: ['@/app/*'], message: 'Pages do not know the frame.' },
      { group: ['@/pages/*'], message: 'Pages never import pages: import siblings relatively, share through components or lib.' },
      { group: ['../*'], message: 'Pages never import pages: share through components or lib.' },
    ]),
  ),
);
