// A person with Chromium chooses which tools an application may use, when they let it in
// and later.
//
//   SITE=… ALICE_KEY=… ADD_TOOL=… CHROMIUM=… SCREENSHOTS=… node --test toolpages.test.mjs
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';
import { inspect, launch, shows, watchedPage } from './looks.mjs';

const { SITE, ALICE_KEY, ADD_TOOL } = process.env;
const title = 'Which tools may the application use?';

let browser, context, page, complaints;
const providers = [];

before(async () => { browser = await launch(); });
after(async () => {
  providers.forEach((provider) => provider.close());
  await browser.close();
});
async function begin(options) {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
  ({ page, complaints } = await watchedPage(context));
}
beforeEach(() => begin());
afterEach(() => context.close());

const press = (name) => page.getByRole('button', { name, exact: true }).click();
const open = (summary) => page.locator('summary', { hasText: summary }).first().click();

// An application asks, and alice signs in. What is returned resolves with its token once
// she has let it in.
async function ask() {
  const provider = await createProvider();
  providers.push(provider);
  const transport = new StreamableHTTPClientTransport(new URL('/notes', SITE), { authProvider: provider });
  await assert.rejects(new Client({ name: 'test', version: '1' }).connect(transport), UnauthorizedError);
  await page.goto(String(provider.authorizationUrl));
  const key = page.getByLabel('Your key');
  if (await key.count()) {
    await key.fill(ALICE_KEY);
    await press('Continue with key');
  }
  return async () => {
    await page.waitForURL(`${provider.redirectUrl}*`);
    await transport.finishAuth(await provider.checkedAnswer());
    return provider.saved.tokens.access_token;
  };
}

async function send(token, method, name) {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
  const answer = await fetch(`${SITE}/notes`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': method, ...(name && { 'Mcp-Name': name }),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...(name && { name, arguments: {} }), _meta } }),
  });
  return answer.text();
}

// The token can use these tools and no others, and these are listed.
async function can(token, ...wanted) {
  const tools = ['read_page', 'create_page', 'delete_page', 'archive_page', 'purge_page'];
  const called = [];
  for (const name of tools) if ((await send(token, 'tools/call', name)).includes(`did ${name}`)) called.push(name);
  assert.deepEqual(called, wanted, 'what can be called');
  const list = await send(token, 'tools/list');
  assert.deepEqual(tools.filter((name) => list.includes(`"name":"${name}"`)), wanted, 'what is listed');
}

test('tools are chosen one by one, and changed later', async () => {
  const letIn = await ask();
  await open(title);
  await inspect(page, 'tools-consent');
  await page.getByRole('radio', { name: 'Only those with a tick' }).check();
  await shows(page, 'Read read_page', 'Change or add create_page', 'May delete or overwrite delete_page', 'is the word of the service');
  assert.ok(await page.getByRole('checkbox', { name: 'read_page' }).isChecked(), 'what reads is proposed');
  assert.ok(!await page.getByRole('checkbox', { name: 'delete_page' }).isChecked(), 'what destroys is not');
  await page.getByRole('checkbox', { name: 'create_page' }).check();
  await page.getByLabel('Tools without a box').selectOption({ label: 'None of them' });
  await page.locator('select[name=lasts]').selectOption({ label: '1 hour' });
  await inspect(page, 'tools-consent-chosen');
  await press('Allow and finish');
  const token = await letIn();
  await can(token, 'read_page', 'create_page');

  // As they are now: what the server adds is not among them.
  await fetch(`${ADD_TOOL}?tool=archive_page`);
  await can(token, 'read_page', 'create_page');

  await page.goto(`${SITE}/oauth/account`);
  await shows(page, 'Notes: 2 that you chose');
  await open('Change what it may use');
  await inspect(page, 'tools-account');
  await page.getByRole('checkbox', { name: 'read_page' }).uncheck();
  await page.getByLabel('Tools without a box').selectOption({ label: 'All of them' });
  await press('Save');
  await shows(page, 'may use is changed', 'Notes: all but');
  await can(token, 'create_page'); // at once
  await fetch(`${ADD_TOOL}?tool=purge_page`); // which had no box
  await can(token, 'create_page', 'purge_page');
  await inspect(page, 'tools-account-saved');

  await open('Change what it may use');
  await page.getByRole('radio', { name: 'Only tools that read' }).check();
  await press('Save');
  await shows(page, 'Notes: those that read');
  await can(token, 'read_page');
  assert.deepEqual(complaints, []);
});

// Presses Tab until what has the focus is called so.
async function tabTo(name) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      return (e.labels?.[0] ?? e).innerText?.trim() ?? '';
    });
    if (at.startsWith(name)) return;
  }
  assert.fail(`Tab does not reach ${name}`);
}

test('with a keyboard alone', async () => {
  const letIn = await ask();
  await page.evaluate(() => document.activeElement?.blur());
  await tabTo(title);
  if (!await page.getByRole('checkbox', { name: 'read_page' }).isVisible()) await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  const chosen = () => page.evaluate(() => document.activeElement.value);
  for (let i = 0; i < 3 && await chosen() !== 'ticked'; i++) await page.keyboard.press('ArrowDown');
  assert.equal(await chosen(), 'ticked');
  await tabTo('delete_page');
  if (!await page.evaluate(() => document.activeElement.checked)) await page.keyboard.press('Space');
  await page.keyboard.press('Tab');
  await tabTo('Allow and finish').catch(() => tabTo('Continue as'));
  await page.keyboard.press('Enter');
  const token = await letIn();
  assert.ok((await send(token, 'tools/call', 'delete_page')).includes('did delete_page'), 'what was ticked cannot be called');
  assert.ok(!(await send(token, 'tools/call', 'create_page')).includes('did create_page'), 'what was not ticked can be called');
});

test('without scripts', async () => {
  await context.close();
  await begin({ javaScriptEnabled: false });
  for (const tool of ['archive_page', 'purge_page']) await fetch(`${ADD_TOOL}?tool=${tool}`);
  const letIn = await ask();
  await open(title);
  await page.getByRole('radio', { name: 'Only those with a tick' }).check();
  await page.getByRole('checkbox', { name: 'read_page' }).uncheck();
  await page.getByRole('checkbox', { name: 'create_page' }).check();
  await press('Allow and finish');
  const token = await letIn();
  await can(token, 'create_page');
  await page.goto(`${SITE}/oauth/account`);
  await open('Change what it may use');
  await page.getByRole('radio', { name: 'All tools' }).check();
  await press('Save');
  await shows(page, 'may use is changed');
  await can(token, 'read_page', 'create_page', 'delete_page', 'archive_page', 'purge_page');
});
