/// <reference types="vitest/config" />
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const backend = process.env.LAKEBOX_URL ?? 'http://127.0.0.1:8480';

export default defineConfig({
  plugins: [react(), keepPlaceholder()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  // The server takes changes only from its own origin, so the proxy speaks as that.
  server: { host: '127.0.0.1', port: 5173, strictPort: true, proxy: { '/api': { target: backend, changeOrigin: true, headers: { origin: backend } } } },
  build: {
    target: 'es2022',
    // check-size.mjs reads it to find what the first load needs.
    manifest: 'manifest.json',
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});

/** The server crate embeds `dist` at compile time, so the folder has to exist in a fresh clone: its placeholder outlives every build. */
function keepPlaceholder() {
  return {
    name: 'keep-placeholder',
    generateBundle(this: { emitFile: (file: { type: 'asset'; fileName: string; source: string }) => void }) {
      this.emitFile({ type: 'asset', fileName: '.gitkeep', source: '' });
    },
  };
}
