// A person with Chromium looks after what they let in and connected, in every
// state of the pages.
//
//   MCP_URL=… VIRTUAL_KEY=… CHROMIUM=… SCREENSHOTS=… node --test accountpages.test.mjs
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';
import { inspect, launch, shows, watchedPage } from './looks.mjs';

const { SITE, VIRTUAL_KEY } = process.env;

let browser, context, page, complaints;
const providers = [];

before(async () => { browser = await launch(); });
after(async () => {
  providers.forEach((provider) => provider.close());
  await browser.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  ({ page, complaints } = await watchedPage(context));
});
afterEach(() => context.close());

const press = (name) => page.getByRole('button', { name, exact: true }).click();
const open = (summary, within = page) => within.locator('summary', { hasText: summary }).first().click();

// An application asks, and alice lets it in. Its token is returned.
async function letIn(path) {
  const provider = await createProvider();
  providers.push(provider);
  const transport = new StreamableHTTPClientTransport(new URL(path, SITE), { authProvider: provider });
  await assert.rejects(new Client({ name: 'test', version: '1' }).connect(transport), UnauthorizedError);
  await page.goto(String(provider.authorizationUrl));
  const known = page.getByRole('button', { name: 'Continue as alice' });
  if (await known.count()) { // the browser is signed in already
    await known.click();
  } else {
    await page.getByLabel('Your key').fill(VIRTUAL_KEY);
    await press('Continue with key');
    await press('Allow and finish');
  }
  await page.waitForURL(`${provider.redirectUrl}*`);
  await transport.finishAuth(await provider.checkedAnswer());
  return provider.saved.tokens.access_token;
}

// What the application shows a person whose account a call needs.
async function askedToConnect(path, token) {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': { elicitation: { url: {} } },
  };
  const answer = await fetch(SITE + path, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': 'whoami',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami', arguments: {}, _meta } }),
  });
  const text = await answer.text();
  const link = /https?:[^"]*\/oauth\/connect\/[\w-]+/.exec(text);
  assert.ok(link, `no link in ${answer.status} ${text}`);
  return link[0];
}

test('the account page in all its states', async () => {
  await page.goto(`${SITE}/oauth/account`);
  await inspect(page, 'account-sign-in');
  await page.getByLabel('Your key').fill('vk-not-a-key-that-anyone-has');
  await press('Continue with key');
  await inspect(page, 'account-wrong-key');

  await letIn('/notes');
  await letIn('/plain');
  await page.goto(`${SITE}/oauth/account`);
  await shows(page, 'Servers you may use', 'Notes', 'Not connected', 'Search', 'Plain', 'TypeScript client', 'Use all its tools');
  assert.equal(await page.getByLabel('Address of Notes').inputValue(), `${SITE}/notes`);
  await inspect(page, 'account');

  await press('Connect Notes');
  await press('Log in as ada');
  await shows(page, 'Notes is connected.', 'Connected as', 'ada@accounts.example');
  await press('Connect Search');
  await inspect(page, 'key-page');
  await page.getByLabel('Search API key').fill('not the key');
  await press('Check and connect');
  await shows(page, 'does not accept this key');
  await inspect(page, 'key-page-wrong');
  await page.getByLabel('Search API key').fill(process.env.SEARCH_KEY);
  await press('Check and connect');
  await shows(page, 'Search is connected.');
  await inspect(page, 'account-connected');

  const notes = page.locator('li', { hasText: 'Address of Notes' }).or(page.locator('li', { has: page.getByLabel('Address of Notes') }));
  await open('Disconnect', notes);
  await shows(page, 'ends at once');
  await inspect(page, 'account-asks');
  await press('Yes, disconnect Notes');
  await shows(page, 'Notes is disconnected.');
  await page.reload();
  assert.ok(!(await page.locator('body').innerText()).includes('Notes is disconnected.'), 'it is said twice');

  await open('Revoke access');
  await press('Yes, revoke access');
  await shows(page, 'has no access any more.');
  await inspect(page, 'account-revoked');

  await open('Sign out everywhere');
  await press('Yes, sign out everywhere');
  await shows(page, 'You are signed out everywhere', 'Sign in to');
  await inspect(page, 'account-signed-out');
  assert.deepEqual(complaints, []);
});

test('a link from an application, and what can happen on the way', async () => {
  const token = await letIn('/notes');
  const link = await askedToConnect('/notes', token);
  await page.goto(link);
  await shows(page, 'Connect Notes', 'alice');
  await inspect(page, 'link');
  await press('Connect Notes');
  await press('Cancel');
  await shows(page, 'you did not agree');
  await inspect(page, 'link-declined');
  await press('Connect Notes');
  const provider = page.url();
  await press('Log in as bea');
  await shows(page, 'Notes is connected', 'bea@accounts.example', 'Go back to', 'TypeScript client', 'confirm there that you are done', 'You can close this page');
  await inspect(page, 'link-done');

  const stranger = await browser.newContext();
  const { page: theirs } = await watchedPage(stranger);
  await theirs.goto(link);
  await shows(theirs, 'works only for the person it was made for');
  await inspect(theirs, 'link-signed-out');
  await theirs.getByLabel('Your user ID').fill('eve');
  await theirs.getByRole('button', { name: 'Continue with user ID' }).click();
  await shows(theirs, 'made for somebody else');
  await inspect(theirs, 'link-other');
  await theirs.goto(`${SITE}/oauth/connect/damaged`);
  await inspect(theirs, 'link-damaged');
  const callback = new URL(new URL(provider).searchParams.get('redirect_uri') ?? `${SITE}/api/oauth/callback/notes`);
  await theirs.goto(`${callback}?state=unknown&code=x`);
  await shows(theirs, 'Error reference');
  await inspect(theirs, 'callback-unknown');
  await theirs.goto(String(callback));
  await inspect(theirs, 'callback-empty');
  await stranger.close();
  assert.deepEqual(complaints, []);
});

test('addresses that are made for applications', async () => {
  for (const [name, path, status, title] of [['server', '/notes', 401, 'Notes'], ['server-slash', '/notes/', 401, 'Notes'], ['front', '/', 200, 'MCP servers at']]) {
    const answer = await page.goto(SITE + path);
    assert.equal(answer.status(), status, path);
    assert.ok((await page.title()).startsWith(title), `${path}: ${await page.title()}`);
    await inspect(page, `landing-${name}`);
    if (name !== 'front') {
      assert.equal(await page.getByLabel('For Cursor').inputValue(), `{"mcpServers": {"notes": {"url": "${SITE}/notes"}}}`);
      assert.match(answer.headers()['www-authenticate'], /^Bearer resource_metadata=/);
    }
    await page.getByRole('link', { name: 'Your account' }).click();
    await shows(page, 'Sign in to');
  }
  assert.deepEqual(complaints, []);
});

test('with a keyboard alone, and without scripts', async () => {
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
  ({ page, complaints } = await watchedPage(plain));
  await letIn('/plain');
  await page.goto(`${SITE}/oauth/account`);
  const focused = () => page.locator(':focus').first().innerText();
  const tabTo = async (text) => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      if (await page.locator(':focus').count() && (await focused()).trim() === text) return;
    }
    assert.fail(`Tab does not reach ${text}`);
  };
  await tabTo('Revoke access');
  await page.keyboard.press('Enter');
  await tabTo('Yes, revoke access');
  await page.keyboard.press('Enter');
  await page.getByText('has no access any more.').waitFor();
  await plain.close();
  assert.deepEqual(complaints, []);
});
