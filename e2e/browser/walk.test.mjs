// Walks the dashboard as a person does, against `lakebox demo` with its data flowing (at LAKEBOX_URL).
//
//   LAKEBOX_URL=http://127.0.0.1:8480 LAKEBOX_SHOTS=/tmp/shots npm test
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { accessible, api, eventually, go, launch, open, shot, typed } from './browser.mjs';

const FRAMES = 120;

let browser;
let table;
let pipeline;
let model;
let transform;

before(async () => {
  browser = await launch();
  // The demo needs some seconds until its source streams and every model has run once.
  [pipeline] = await eventually('a streaming pipeline', async () => {
    const all = await api('/pipelines');
    return all.some((each) => each.state === 'streaming') && all;
  }, 60);
  const models = await eventually('models that ran', async () => {
    const all = await api('/models');
    return all.length > 0 && all.every((each) => each.state === 'ok' && each.rows > 0) && all;
  }, 60);
  model = models.find((each) => each.schedule === 'on commit');
  assert.ok(model, 'a model that runs on commit');
  const silver = (await api('/tables')).filter((each) => each.layer === 'silver').sort((a, b) => b.rows - a.rows);
  table = await api(`/tables/silver/${silver[0].name}`);
  [transform] = await api('/transforms');
  const body = JSON.stringify({ table: `silver.${table.name}`, wait: true });
  await api('/upkeep', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
});
after(() => browser?.close());

/** Each page with texts that only its own data puts into it. */
const PAGES = () => [
  ['overview', '/', '1 pipeline streaming', '5 tables'],
  ['tables', '/tables', `silver.${table.name}`, `gold.${model.name}`],
  ['tables-filtered', `/tables?layer=silver&filter=${table.name}`, `silver.${table.name}`],
  ['table', `/tables/silver/${table.name}`, table.columns.at(-1).name, table.columns.at(-1).type],
  ['table-rows', `/tables/silver/${table.name}?tab=rows`, 'Any 200 rows', table.columns[0].name],
  ['table-snapshots', `/tables/silver/${table.name}?tab=snapshots`, 'Append', 'current'],
  ['table-files', `/tables/silver/${table.name}?tab=files`, 'on average', '.parquet'],
  ['table-upkeep', `/tables/silver/${table.name}?tab=upkeep`, 'each byte was written', /No snapshot was old enough|snapshots? let go/i],
  ['table-lineage', `/tables/silver/${table.name}?tab=lineage`, table.upstream[0], table.downstream[0]],
  ['table-properties', `/tables/silver/${table.name}?tab=properties`, table.location, '.metadata.json'],
  ['pipelines', '/pipelines', pipeline.name, 'Streaming'],
  ['pipeline', `/pipelines/${pipeline.name}`, pipeline.tables[0].source_table, transform.name],
  ['transforms', `/transforms?open=${transform.name}`, transform.name, transform.path],
  ['crawlers', '/crawlers', 'No crawlers yet', 'crawlers:'],
  ['models', '/models', model.name, 'Ok'],
  ['model', `/models/${model.name}`, model.upstream[0], 'commit'],
  ['sql', '/sql', 'Write a query and run it'],
  ['sql-files', '/sql?panel=files', 'Upload a file'],
  ['about', '/about', 'This is the demo', 'psql -h'],
];

/** Whether a canvas inside `box` has something drawn on it. */
const drawn = (box) =>
  box.locator('canvas').first().evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) colours.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
    return colours.size > 3;
  });

async function noneWrong(problems) {
  assert.deepEqual(problems, []);
}

describe('every page', () => {
  for (const [name, options] of [
    ['light', { scheme: 'light' }],
    ['dark', { scheme: 'dark' }],
    ['phone', { scheme: 'light', width: 390, height: 800 }],
  ]) {
    it(`opens by its URL, shows its data, is accessible and stays at home (${name})`, async () => {
      const { context, page, problems } = await open(browser, options);
      for (const [id, path, ...texts] of PAGES()) {
        await go(page, path);
        for (const text of texts) await page.locator('#main').getByText(text).locator('visible=true').first().waitFor();
        await page.locator('.skeleton').first().waitFor({ state: 'detached' });
        await page.waitForTimeout(250);
        await shot(page, `${id}-${name}`);
        await accessible(page, `${path} (${name})`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${path} (${name}) is ${wide} px wider than the screen`);
      }
      await noneWrong(problems);
      await context.close();
    });
  }
});

describe('live values', () => {
  it('show rows flowing through every layer', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, '/');
    const total = async () => Number((await page.locator('section', { hasText: 'Throughput' }).getByTitle(/^[\d,]+$/).last().getAttribute('title')).replaceAll(',', ''));
    const first = await total();
    assert.ok(first > 0, 'rows were made durable');
    await eventually('more rows', async () => (await total()) > first, 20);
    assert.equal(await page.locator('.layer', { hasText: 'behind' }).count(), 3, 'every layer says how fresh it is');
    await eventually('a drawn chart', () => drawn(page.getByRole('img', { name: /Changes per second/ })));
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('move without a reload, stay when the line drops, and say since when', async () => {
    const { context, page, problems } = await open(browser);
    await page.addInitScript(() => {
      window.streams = [];
      const Original = window.EventSource;
      window.EventSource = class extends Original {
        constructor(...rest) {
          super(...rest);
          window.streams.push(this);
        }
      };
    });
    await go(page, '/');
    const asOf = () => page.locator('.health-sub').innerText();
    const first = await asOf();
    await eventually('newer values', async () => (await asOf()) !== first, 10);
    await page.route('**/api/v1/**', (route) => route.abort());
    await page.evaluate(() => window.streams.at(-1).dispatchEvent(new Event('error')));
    await page.getByText(/No connection since/).waitFor({ timeout: 20_000 });
    await shot(page, 'overview-dropped');
    assert.ok((await page.locator('.layer').count()) > 0, 'the last values are still there');
    await page.unroute('**/api/v1/**');
    await page.getByText(/No connection since/).waitFor({ state: 'detached', timeout: 20_000 });
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('a failed page says what happened and works after a retry', async () => {
    const { context, page } = await open(browser);
    let broken = true;
    await page.route('**/api/v1/models', (route) => (broken ? route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify({ type: 'about:blank', title: 'Unavailable', status: 503, code: 'catalog.locked', detail: 'The catalog is locked by another process.', hint: 'Stop the other lakebox.' }) }) : route.continue()));
    await go(page, '/models');
    await page.getByText('Stop the other lakebox.').waitFor();
    await shot(page, 'models-failed');
    broken = false;
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.locator('#main').getByText(model.name).first().waitFor();
    await context.close();
  });
});

describe('SQL', () => {
  it('runs, keeps its tabs over a reload, and shows an error at its place', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, '/sql');
    await typed(page, `select count(*) as many from silver.${table.name};\nselect 1 +`);
    await page.keyboard.press('Control+Home');
    await page.keyboard.press('Control+Enter');
    await page.locator('.grid-cell').first().waitFor();
    await page.getByText(/1 row\b/).first().waitFor();
    assert.match(await page.locator('.grid-th').first().innerText(), /many/);
    await shot(page, 'sql-result');

    await typed(page, `select *\nform silver.${table.name}`);
    await page.keyboard.press('Control+Enter');
    await page.getByRole('alert').waitFor();
    await shot(page, 'sql-error');
    await accessible(page, 'SQL with an error');
    await page.waitForTimeout(400);
    await page.reload();
    await page.locator('.cm-content').waitFor();
    assert.match(await page.locator('.cm-content').innerText(), /form silver/);
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('keeps a file that is chosen, shows it as a table, and deletes it once its name is typed', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, '/sql?panel=files');
    const name = `walk_${Date.now()}.csv`;
    await page.locator('input[type=file]').first().setInputFiles({ name, mimeType: 'text/csv', buffer: Buffer.from('id;amount\n1;1.10\n2;2.20\n') });
    await page.locator('.sql-side').getByText(name).waitFor();
    await eventually('the rows of the file', async () => (await page.locator('.sql-result').innerText()).includes('2.20'));
    await shot(page, 'sql-upload');
    await page.locator('.sql-side .thing-row', { hasText: name }).hover();
    await page.getByRole('button', { name: `Delete ${name}` }).click();
    await page.getByRole('textbox', { name: /Type/ }).fill(name);
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.locator('.sql-side').getByText(name).waitFor({ state: 'detached' });
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('completes tables and columns from the catalog', async () => {
    const { context, page } = await open(browser);
    await go(page, '/sql');
    await page.locator('.sql-side .thing').first().waitFor();
    await page.locator('.cm-content').click();
    await page.keyboard.type('select * from silver.', { delay: 20 });
    await page.locator('.cm-tooltip-autocomplete', { hasText: table.name }).waitFor();
    await shot(page, 'sql-completion');
    await page.keyboard.press('Escape');
    await page.keyboard.type(`${table.name} t where t.`, { delay: 20 });
    const column = (await api(`/tables/silver/${table.name}`)).columns[0].name;
    await page.locator('.cm-tooltip-autocomplete', { hasText: column }).waitFor();
    await context.close();
  });

  it('scrolls 100 k rows smoothly, sorts, filters and copies', async () => {
    const { context, page, problems } = await open(browser);
    const query = "select value as id, value % 97 as part, 'row ' || value as name, value / 3.0 as third from generate_series(1, 100000)";
    await go(page, `/sql?q=${encodeURIComponent(query)}`);
    await page.locator('.cm-content').click();
    await page.keyboard.press('Control+Enter');
    const rows = await eventually('a finished result', async () => {
      const running = await page.getByRole('button', { name: 'Cancel' }).count();
      return running === 0 && Number(await page.locator('.grid').getAttribute('aria-rowcount'));
    }, 60);
    assert.equal(rows - 1, 100_000);
    // Time of the page's own thread, so that a busy machine does not fail it: a frame at 60 Hz has 16 ms.
    const client = await context.newCDPSession(page);
    await client.send('Performance.enable', { timeDomain: 'threadTicks' });
    const busy = async () => (await client.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value * 1000;
    const before = await busy();
    const drawn = await page.evaluate(async (count) => {
      const grid = document.querySelector('.grid');
      for (let frame = 0; frame < count; frame += 1) {
        grid.scrollTop += 140;
        await new Promise(requestAnimationFrame);
      }
      return document.querySelectorAll('.grid-row').length;
    }, FRAMES);
    const perFrame = ((await busy()) - before) / FRAMES;
    console.log(`${rows - 1} rows: ${perFrame.toFixed(1)} ms of work a frame at five new rows a frame, ${drawn} rows drawn`);
    assert.ok(drawn < 120, 'only what is in sight is drawn');
    assert.ok(perFrame < 16, `a frame took ${perFrame.toFixed(1)} ms of work; 60 frames a second leave 16`);
    await shot(page, 'sql-scrolled');

    await page.locator('.grid').evaluate((grid) => (grid.scrollTop = 0));
    await page.locator('.grid-th button').first().click();
    await eventually('sorted', async () => (await page.locator('.grid-th').first().getAttribute('aria-sort')) === 'ascending');
    await page.locator('.grid-cell').nth(0).click();
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('Shift+ArrowDown');
    await page.keyboard.press('Control+c');
    const copied = await eventually('the clipboard', () => page.evaluate(() => navigator.clipboard.readText()));
    assert.equal(copied.split('\n').length, 3, 'a header and two rows');
    assert.equal(copied.split('\n')[0].split('\t').length, 2, 'two columns');
    await shot(page, 'sql-selection');
    await accessible(page, 'SQL with a result');
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('opens a saved query, draws it, downloads it, and restores the view from its URL', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, '/sql?panel=saved&view=chart');
    await page.locator('.sql-side').getByText('Payments by day').click();
    await eventually('the saved statement', async () => /gold\.daily_payments/.test(await page.locator('.cm-content').innerText()));
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await eventually('a drawn chart', () => drawn(page.locator('.sql-chart')));
    await page.waitForTimeout(400);
    await shot(page, 'sql-chart');
    await accessible(page, 'SQL with a chart');
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV' }).click()]);
    assert.equal(download.suggestedFilename(), 'result.csv');
    const lines = (await readFile(await download.path(), 'utf8')).trim().split('\n');
    assert.equal(lines[0].trim(), 'day,kind,amount');
    assert.ok(lines.length > 10, `${lines.length} lines`);
    await page.reload();
    await eventually('the statement after a reload', async () => /gold\.daily_payments/.test(await page.locator('.cm-content').innerText()));
    assert.match(page.url(), /view=chart/);
    assert.deepEqual(problems, []);
    await context.close();
  });

  it('saves a query, finds it in the palette, and undoes its deletion', async () => {
    const { context, page } = await open(browser);
    const name = `Browser test ${Date.now()}`;
    await go(page, '/sql?panel=saved');
    await typed(page, 'select 42 as answer');
    await page.keyboard.press('Control+s');
    await page.getByRole('dialog').getByLabel('Name').fill(name);
    await page.getByRole('dialog').getByRole('button', { name: 'Save', exact: true }).click();
    await page.locator('.sql-side').getByText(name).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').getByRole('combobox').fill(name);
    await page.getByRole('option', { name }).waitFor();
    await shot(page, 'palette');
    await accessible(page, 'the palette');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: `Delete ${name}` }).click({ force: true });
    await page.locator('.sql-side').getByText(name).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.locator('.sql-side').getByText(name).waitFor();
    for (const saved of await api('/saved-queries')) if (saved.name === name) await api(`/saved-queries/${saved.id}`, { method: 'DELETE' });
    await context.close();
  });
});

describe('pipelines', () => {
  it('pause and resume, and resync wants the name typed', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, `/pipelines/${pipeline.name}`);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.locator('.page-head .status', { hasText: 'Paused' }).waitFor();
    await shot(page, 'pipeline-paused');
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.locator('.page-head .status', { hasText: 'Streaming' }).waitFor();
    const rows = async () => (await api(`/pipelines/${pipeline.name}`)).rows_total;
    const before = await rows();
    await eventually('rows after the pause', async () => (await rows()) > before);
    await page.getByRole('button', { name: 'Resync…' }).click();
    const confirm = page.getByRole('dialog').getByRole('button', { name: 'Resync' });
    assert.ok(await confirm.isDisabled());
    await page.getByRole('dialog').getByRole('textbox').fill(pipeline.name);
    assert.ok(await confirm.isEnabled());
    await shot(page, 'pipeline-resync');
    await accessible(page, 'the resync dialogue');
    await page.getByRole('button', { name: 'Keep as it is' }).click();
    assert.deepEqual(problems, []);
    await context.close();
  });
});

describe('models', () => {
  it('run when asked, and lead from their table and to it', async () => {
    const { context, page, problems } = await open(browser);
    await go(page, `/tables?layer=gold&filter=${model.name}`);
    await page.getByRole('row').filter({ hasText: `gold.${model.name}` }).getByRole('link', { name: model.name, exact: true }).click();
    await page.waitForURL(`**/models/${model.name}`);
    await page.getByRole('button', { name: 'Run now' }).click();
    await page.locator('#main').getByRole('cell', { name: 'request' }).first().waitFor();
    assert.equal((await api(`/models/${model.name}/runs`)).find((run) => run.trigger === 'request').error ?? null, null);
    await page.getByRole('link', { name: 'Table', exact: true }).click();
    await page.waitForURL(`**/tables/gold/${model.name}`);
    assert.deepEqual(problems, []);
    await context.close();
  });
});

describe('the keyboard', () => {
  it('reaches a page through the palette, and Back returns', async () => {
    const { context, page } = await open(browser);
    await go(page, '/');
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').getByRole('combobox').fill(`silver.${table.name}`);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/tables/silver/${table.name}`);
    await page.goBack();
    await page.locator('.health').waitFor();
    await context.close();
  });
});
