// SQL as several people use it at once: waiting for a place to run, what a query costs, what a change did, who was in the way.
// Runs against the demo (LAKEBOX_URL) and a second lakebox that runs one query at a time and lets others wait for 20 s (LAKEBOX_NARROW_URL).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { accessible, api, eventually, go, launch, open, shot, typed } from './browser.mjs';

const NARROW = process.env.LAKEBOX_NARROW_URL;
const KEY = 'Control+Enter';

let browser;
before(async () => {
  browser = await launch();
});
after(async () => {
  for (const release of held) release();
  await browser?.close();
});

const sql = (base, body, more = {}) =>
  fetch(`${base}/api/v1/sql`, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json' }, body: JSON.stringify(body), ...more });

/** What lets go of the places that are still kept. */
const held = [];

/** Takes a place to run and keeps it without working: nobody reads the rows. Gives what lets it go. */
async function hold(base) {
  const stop = new AbortController();
  const query = "select value, repeat('x', 200) as pad from generate_series(1, 100000000)";
  const response = await sql(base, { query }, { signal: stop.signal, headers: { 'content-type': 'application/json', accept: 'text/csv' } });
  assert.equal(response.status, 200);
  // The response has to be reachable: collected, it would close the connection.
  const release = () => stop.abort();
  held.push(release);
  return { response, release };
}

describe('the queue', { skip: NARROW ? false : 'LAKEBOX_NARROW_URL is not set' }, () => {
  const state = async (id) => (await api('/queries?limit=50', {}, NARROW)).find((run) => run.id === id)?.state;

  it('shows the place of a query that waits, lists all that wait, and lets one go', async () => {
    const { context, page, problems } = await open(browser, { base: NARROW });
    const place = await hold(NARROW);
    const first = sql(NARROW, { query: "select 'the first'", id: 'first' }).then((response) => response.status);
    await eventually('the first one to wait', async () => (await state('first')) === 'waiting');
    await go(page, '/sql?panel=history', NARROW);
    await typed(page, 'select 42 as answer');
    await page.keyboard.press(KEY);
    const result = page.locator('.sql-result');
    await result.getByText('2nd in the queue').waitFor();
    await result.getByText("repeat('x', 200)").waitFor();
    await page.locator('.sql-side .thing', { hasText: 'select 42 as answer' }).getByText('2nd in the queue').waitFor();
    await page.locator('.sql-side .thing', { hasText: 'the first' }).getByText('1st in the queue').waitFor();
    await shot(page, 'sql-queue');
    await accessible(page, 'SQL in the queue');

    // Whoever is in front can be cancelled from the list; those behind move up.
    await page.locator('.sql-side .thing-row', { hasText: 'the first' }).getByRole('button', { name: /^Cancel/ }).click();
    assert.equal(await first, 499);
    await result.getByText('1st in the queue').waitFor();

    await result.getByRole('button', { name: 'Cancel', exact: true }).click();
    await result.getByText('Cancelled').waitFor();
    const mine = await eventually('the end of it', async () => (await api('/queries?limit=50', {}, NARROW)).find((run) => run.query === 'select 42 as answer' && run.state === 'cancelled'));
    assert.equal(mine.rows, 0);

    await result.getByRole('button', { name: 'Run again' }).click();
    await result.getByText('1st in the queue').waitFor();
    place.release();
    await page.locator('.grid-cell', { hasText: '42' }).waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('says that no place became free, what to do, and shows what was in the way', async () => {
    const { context, page, problems } = await open(browser, { base: NARROW, width: 390, height: 800 });
    const place = await hold(NARROW);
    await go(page, '/sql', NARROW);
    await typed(page, 'select 43 as answer');
    await page.keyboard.press(KEY);
    await page.locator('.sql-result').getByText('1st in the queue').waitFor();
    await shot(page, 'sql-queue-phone');
    const alert = page.getByRole('alert');
    await alert.getByText('No place to run became free').waitFor({ timeout: 60_000 });
    await alert.getByText('sql.busy').waitFor();
    await alert.getByText('server.queue_wait').waitFor();
    await shot(page, 'sql-busy-phone');
    await accessible(page, 'SQL that waited in vain');
    await page.getByRole('button', { name: 'See what runs' }).click();
    await page.locator('.sql-side').getByText("repeat('x', 200)").first().waitFor();
    place.release();
    assert.deepEqual(problems, []);
    await context.close();
  });
});

describe('what a query costs', () => {
  it('is said before it runs, for the statement at the cursor, and after', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, '/sql');
    await typed(page, 'select 1;\nselect * from silver.bank_payments');
    const ahead = page.locator('.sql-estimate');
    await ahead.getByText(/^reads about [\d.]+ [kM]B in \d+ of \d+ files? · <?\$0\.\d+$/).waitFor();
    const whole = (await sql(process.env.LAKEBOX_URL, { query: 'select * from silver.bank_payments', dry_run: true }).then((r) => r.json())).estimate;
    assert.ok(whole.bytes > 0 && whole.cost_usd > 0);
    assert.match(await ahead.getAttribute('title'), /silver\.bank_payments: .* of .* files?/);
    await shot(page, 'sql-estimate');
    await page.keyboard.press('Control+Home');
    await ahead.waitFor({ state: 'detached' });
    await page.keyboard.press('Control+End');
    await ahead.waitFor();
    await page.keyboard.press(KEY);
    const after = page.locator('.grid-foot').getByText(/^[\d.]+ [kM]B read · <?\$0\.\d+$/);
    await after.waitFor({ timeout: 60_000 });
    assert.match(await after.getAttribute('title'), /[\d,]+ bytes of data files were read, worth/);
    assert.deepEqual(problems, []);
    await context.close();
  });
});

describe('changes by SQL', () => {
  const schema = `walk_${Date.now()}`;

  const run = async (page, statement, outcome) => {
    await typed(page, statement);
    await page.keyboard.press(KEY);
    await page.locator('.sql-result .notice .title', { hasText: outcome }).waitFor();
  };

  it('say what they did, appear beside it, and are never run twice by the page', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, '/sql');
    await run(page, `create schema ${schema}`, /^Schema created$/);
    await run(page, `create table ${schema}.stock (id bigint primary key, pieces bigint)`, /^Table created$/);
    await page.locator('.sql-side').getByPlaceholder('Filter tables and columns').fill(schema);
    await page.locator('.sql-side .thing', { hasText: 'stock' }).waitFor();
    await run(page, `insert into ${schema}.stock values (1, 10), (2, 20), (3, 30)`, /^3 rows inserted$/);
    await page.locator('.sql-estimate').getByText('changes data').waitFor();
    await run(page, `update ${schema}.stock set pieces = pieces + 1 where id < 3`, /^2 rows updated$/);
    await shot(page, 'sql-changed');
    await accessible(page, 'SQL that changed something');
    assert.equal(await page.getByRole('button', { name: 'CSV' }).count(), 0, 'a download would run it again');
    await run(page, `delete from ${schema}.stock where id = 99`, /^No row deleted$/);
    await run(page, `with s as (select 3 as id, 5 as pieces) merge into ${schema}.stock t using s on t.id = s.id when matched then update set pieces = s.pieces`, /^1 row changed$/);
    await run(page, `create table ${schema}.copy as select * from ${schema}.stock`, /^Table created with 3 rows$/);
    await run(page, `alter table ${schema}.stock add column note text`, /^Table changed$/);

    await typed(page, `call system.compact('${schema}.stock')`);
    await page.keyboard.press(KEY);
    // Upkeep does one thing at a time.
    await page.locator('.grid-cell', { hasText: 'rewrite' }).waitFor({ timeout: 120_000 });

    await typed(page, 'update silver.bank_payments set amount = 0');
    await page.keyboard.press(KEY);
    await page.getByRole('alert').locator('.hint').waitFor();
    await shot(page, 'sql-refused');

    await page.goto(`${process.env.LAKEBOX_URL}/sql?panel=history`);
    const past = page.locator('.sql-side .thing', { hasText: `update ${schema}.stock` });
    await past.getByText('2 rows changed').waitFor();
    assert.equal(await past.count(), 1, 'a change is listed once');

    await run(page, `truncate ${schema}.stock`, /^Table emptied$/);
    await page.getByRole('button', { name: 'Open table' }).or(page.getByRole('link', { name: 'Open table' })).click();
    await page.waitForURL(`**/tables/${schema}/stock`);
    await go(page, '/sql');
    await run(page, `drop table ${schema}.stock`, /^Table dropped$/);
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('give way to others that changed the same rows, say so, and can be run again', async () => {
    const { context, page, problems } = await open(browser);
    const make = async (query) => assert.equal((await sql(process.env.LAKEBOX_URL, { query })).status, 200, query);
    await make(`create schema ${schema}_race`);
    await make(`create table ${schema}_race.t (id bigint primary key, n bigint)`);
    await make(`insert into ${schema}_race.t values (1, 0)`);
    await go(page, '/sql');
    // To lose against others five times in a row takes luck, which no test may depend on: the server's answer to the loser is given in its place, once.
    const body = {
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      code: 'sql.conflict',
      detail: `could not serialize access due to concurrent update of ${schema}_race.t`,
      hint: 'Nothing of the transaction took place: run it again.',
    };
    const lose = (route) => route.fulfill({ status: 409, contentType: 'application/problem+json', body: JSON.stringify(body) });
    const changing = (request) => request.method() === 'POST' && !request.postDataJSON().dry_run;
    let lost = false;
    await page.route('**/api/v1/sql', (route) => {
      if (lost || !changing(route.request())) return route.continue();
      lost = true;
      return lose(route);
    });
    await typed(page, `update ${schema}_race.t set n = n + 1 where id = 1`);
    await page.keyboard.press(KEY);
    const alert = page.getByRole('alert');
    await alert.getByText('Nothing was changed: others changed the same rows').waitFor();
    await alert.getByText('sql.conflict').waitFor();
    await alert.getByText(/run it again/).waitFor();
    await shot(page, 'sql-conflict');
    await accessible(page, 'SQL with a conflict');
    await alert.getByRole('button', { name: 'Retry' }).click();
    await page.locator('.sql-result .notice .title', { hasText: /^1 row updated$/ }).waitFor();
    const rows = await sql(process.env.LAKEBOX_URL, { query: `select n from ${schema}_race.t` });
    assert.deepEqual((await rows.json()).rows, [[1]]);
    assert.deepEqual(problems, []);
    await context.close();
  });
});
