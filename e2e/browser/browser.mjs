// What the browser tests share: a browser, a page that notices what goes wrong, screenshots, axe.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const BASE = process.env.LAKEBOX_URL ?? 'http://127.0.0.1:8480';
const SHOTS = process.env.LAKEBOX_SHOTS ?? 'test-results/screenshots';
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

export const launch = () =>
  chromium.launch({
    executablePath: EXECUTABLE,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });

/** A fresh page in a fresh profile. `problems` collects script errors and every request that leaves the server under test. */
export async function open(browser, { scheme = 'light', width = 1360, height = 860, base = BASE } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, permissions: ['clipboard-read', 'clipboard-write'], acceptDownloads: true });
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    // The browser logs refused requests as errors; tests that provoke one look at the page instead.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) problems.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !/^(data|blob):/.test(url)) problems.push(`request to the outside: ${url}`);
  });
  return { context, page, problems };
}

export async function go(page, path, base = BASE) {
  await page.goto(base + path);
  await page.locator('#main h1').first().waitFor({ state: 'attached' });
}

export async function shot(page, name) {
  await mkdir(SHOTS, { recursive: true });
  // What opens or closes has done so.
  await page.evaluate(() => Promise.all(document.getAnimations().map((each) => each.effect?.getComputedTiming().iterations !== Infinity && each.finished.catch(() => {}))));
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** Fails where axe finds something serious or critical. */
export async function accessible(page, where) {
  await page.addScriptTag({ path: AXE });
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = found.violations
    .filter((violation) => violation.impact === 'serious' || violation.impact === 'critical')
    .map((violation) => `${violation.id}: ${violation.help}\n${violation.nodes.slice(0, 4).map((node) => `    ${node.target.join(' ')} | ${node.failureSummary?.split('\n')[1]?.trim()}`).join('\n')}`);
  assert.deepEqual(serious, [], `axe on ${where}:\n${serious.join('\n')}`);
}

/** Waits until `read` gives something truthy and gives that. */
export async function eventually(what, read, seconds = 30) {
  const until = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < until) {
    try {
      const value = await read();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  throw new Error(`${what}: not within ${seconds} s; last seen: ${last}`);
}

/** Writes a statement into the SQL editor in place of what is there. */
export async function typed(page, text) {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText(text);
  await page.keyboard.press('Escape');
}

export async function api(path, init, base = BASE) {
  const response = await fetch(`${base}/api/v1${path}`, init);
  assert.ok(response.ok, `${init?.method ?? 'GET'} ${path} answered ${response.status}`);
  const text = await response.text();
  return text === '' ? undefined : JSON.parse(text);
}
