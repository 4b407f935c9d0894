// A person with Chromium lets applications in, in every state of the pages.
//
//   SITE=… KNOWN_SITE=… ALICE_KEY=… CHROMIUM=… SCREENSHOTS=… node --test flowpages.test.mjs
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';
import { inspect, launch, shows, watchedPage } from './looks.mjs';

const { SITE, KNOWN_SITE, ALICE_KEY, BOB_KEY, SEARCH_KEY } = process.env;

let browser, context, page, complaints, callback;

// Where applications wait.
const application = createServer((request, response) => response.setHeader('Content-Type', 'text/html').end('<title>Application</title>Done'));

before(async () => {
  await new Promise((resolve) => application.listen(0, '127.0.0.1', resolve));
  callback = `http://127.0.0.1:${application.address().port}/callback`;
  browser = await launch();
});
after(async () => {
  application.close().closeAllConnections();
  await browser.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  ({ page, complaints } = await watchedPage(context));
});
afterEach(() => context.close());

const press = (name) => Promise.all([page.waitForNavigation(), page.getByRole('button', { name, exact: true }).click()]);
const box = (name) => page.getByRole('checkbox', { name });

// An application that registers, and asks for some servers and scopes.
async function ask({ site = SITE, name = 'Acme Assistant', servers = [], scope, clientId, redirectUri = callback } = {}) {
  if (!clientId) {
    const registered = await fetch(`${site}/api/oauth/per-user/register`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        ...(name && { client_name: name }), redirect_uris: [redirectUri], token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
      }),
    });
    clientId = (await registered.json()).client_id;
  }
  const verifier = randomBytes(32).toString('base64url');
  const link = new URL(`${site}/api/oauth/per-user/authorize`);
  for (const [key, value] of Object.entries({
    response_type: 'code', client_id: clientId, redirect_uri: redirectUri, state: 's', scope,
    code_challenge_method: 'S256', code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  })) if (value) link.searchParams.set(key, value);
  for (const path of servers) link.searchParams.append('resource', site + path);
  await page.goto(String(link));
  const token = async (parameters) => {
    const answer = await fetch(`${site}/api/oauth/per-user/token`, {
      method: 'POST', body: new URLSearchParams({ client_id: clientId, ...parameters }),
    });
    return answer.json();
  };
  return {
    // What the application gets when a person pressed a button.
    async answer(button) {
      await press(button);
      await page.waitForURL(`${redirectUri}*`);
      return new URL(page.url()).searchParams;
    },
    redeem: (answer) => token({ grant_type: 'authorization_code', code: answer.get('code'), code_verifier: verifier, redirect_uri: redirectUri }),
    refresh: (refresh_token, more) => token({ grant_type: 'refresh_token', refresh_token, ...more }),
  };
}

async function signIn(key = ALICE_KEY) {
  await page.getByLabel('Your key').fill(key);
  await press('Continue with key');
}

const heading = () => page.getByRole('heading', { level: 1 }).innerText();
const focused = () => page.evaluate(() => document.activeElement.innerText || document.activeElement.id);

// The field that has the focus, what is wrong with it, and that it says so.
async function wrongField() {
  return page.evaluate(() => {
    const field = document.activeElement;
    const words = (field.getAttribute('aria-describedby') ?? '').split(' ').map((id) => document.getElementById(id)?.innerText).join(' ');
    return { id: field.id || field.innerText, invalid: field.getAttribute('aria-invalid'), words };
  });
}

test('one server, from who wants what to a token', async () => {
  const acme = await ask({ servers: ['/wiki'] });
  assert.match(await heading(), /^“.?Acme Assistant.?” wants to use Team wiki$/);
  await inspect(page, 'flow-identity');

  await signIn('vk-not-a-key-that-anyone-has');
  const wrong = await wrongField();
  assert.deepEqual([wrong.id, wrong.invalid], ['vk', 'true']);
  assert.match(wrong.words, /This key is not known here/);
  assert.match(await page.title(), /^Error: /);
  await inspect(page, 'flow-identity-wrong-key');
  await page.getByLabel('Your user ID').fill('\u200b');
  await press('Continue with user ID');
  assert.equal((await wrongField()).id, 'user_id');
  await inspect(page, 'flow-identity-wrong-name');

  await signIn();
  assert.match(await heading(), /wants to use Team wiki as alice$/);
  await shows(page, 'Use all its tools', 'virtual key', 'Not you?', 'this browser stays signed in for 30 days');
  await inspect(page, 'flow-services');
  const { scope } = await acme.redeem(await acme.answer('Allow and finish'));
  assert.equal(scope, 'mcp:use');
  await page.goBack();
  await shows(page, 'Already answered');
  await inspect(page, 'flow-already-answered');
  assert.deepEqual(complaints, []);
});

test('a browser that is signed in needs one click, and its person can be another', async () => {
  const first = await ask({ servers: ['/wiki'] });
  await signIn();
  await first.answer('Allow and finish');

  const next = await ask({ name: 'Second Assistant', servers: ['/wiki'] });
  assert.match(await heading(), /^“.?Second Assistant.?” wants to use Team wiki as alice$/);
  await shows(page, 'Continue as alice', 'Not you?', 'This browser stays signed in until');
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'BODY', 'something has the focus');
  await inspect(page, 'flow-remembered');
  await page.getByRole('link', { name: 'Not you?' }).click();
  await shows(page, 'This browser is signed in as alice until');
  await inspect(page, 'flow-not-you');
  await page.getByRole('link', { name: 'Continue as alice' }).click();
  const answer = await next.answer('Continue as alice');
  assert.ok(answer.get('code'), String(answer));

  await ask({ servers: ['/wiki'] });
  const tab = await context.newPage();
  await tab.goto(`${SITE}/oauth/account`);
  await tab.getByRole('button', { name: 'Sign out', exact: true }).click();
  await press('Continue as alice');
  await shows(page, 'First say who you are');
});

// Another page makes somebody click twice, and is gone between the clicks: ours
// lies under the pointer, and must not take the second one.
test('half a double click presses nothing', async () => {
  const acme = await ask({ servers: ['/wiki'] });
  await signIn();
  const at = await page.getByRole('button', { name: 'Allow and finish' }).boundingBox();
  const before = page.url();
  await page.mouse.move(1, 1);
  await page.reload();
  await page.mouse.move(at.x + at.width / 2, at.y + at.height / 2);
  await page.evaluate(() => new Promise((drawn) => { requestAnimationFrame(() => requestAnimationFrame(drawn)); }));
  await page.mouse.down();
  await page.mouse.up();
  await page.waitForTimeout(700);
  assert.equal(page.url(), before, 'the page took the click');
  assert.ok((await acme.answer('Allow and finish')).get('code'));
});

test('what is optional can be left out, and the token has what is ticked', async () => {
  const scope = 'mcp:use wiki:write wiki:admin export';
  const acme = await ask({ servers: ['/wiki'], scope });
  await signIn();
  await shows(page, 'Use all its tools', 'always needed', 'Change and delete pages', 'Manage who may read the wiki', 'Export everything as files');
  assert.ok(await box('Change and delete pages').isChecked());
  await inspect(page, 'flow-scopes');
  await box('Manage who may read the wiki').uncheck();
  await box('Export everything').uncheck();
  const tokens = await acme.redeem(await acme.answer('Allow and finish'));
  assert.equal(tokens.scope, 'mcp:use wiki:write');
  const refreshed = await acme.refresh(tokens.refresh_token, { scope });
  assert.equal(refreshed.scope, 'mcp:use wiki:write');

  // What only optional scopes were asked for cannot all be left out.
  await ask({ servers: ['/wiki'], scope: 'wiki:write wiki:admin' });
  await box('Change and delete pages').uncheck();
  await box('Manage who may read the wiki').uncheck();
  await press('Continue as alice');
  const wrong = await wrongField();
  assert.equal(wrong.invalid, 'true');
  assert.match(wrong.words, /Leave at least one permission ticked/);
  await inspect(page, 'flow-scopes-none');
});

test('a client of the TypeScript SDK works with the scope that is left, and asks for more', async () => {
  const provider = await createProvider();
  try {
    const connect = async () => {
      const transport = new StreamableHTTPClientTransport(new URL('/wiki', SITE), { authProvider: provider });
      const client = new Client({ name: 'integration-test', version: '1' });
      return { transport, client, connected: client.connect(transport) };
    };
    const asking = await connect();
    await assert.rejects(asking.connected, UnauthorizedError);
    const link = new URL(provider.authorizationUrl); // of this SDK, with what the challenge names
    link.searchParams.set('scope', 'mcp:use wiki:write export');
    await page.goto(String(link));
    await signIn();
    await box('Export everything').uncheck();
    await press('Allow and finish');
    await asking.transport.finishAuth(await provider.checkedAnswer());
    assert.equal(provider.saved.tokens.scope, 'mcp:use wiki:write');

    const using = await connect();
    await using.connected;
    const { content } = await using.client.callTool({ name: 'greet', arguments: { name: 'Ada' } });
    assert.equal(content[0].text, 'Hello, Ada!');
    await using.client.close();

    // Whoever needs more asks again: what a call needs is ticked.
    const again = await ask({ clientId: provider.saved.client.client_id, redirectUri: provider.redirectUrl, servers: ['/wiki'], scope: 'mcp:use wiki:write export' });
    assert.ok(await box('Export everything').isChecked());
    assert.equal((await again.redeem(await again.answer('Continue as alice'))).scope, 'mcp:use wiki:write export');
  } finally {
    provider.close();
  }
});

test('several servers, chosen and connected', async () => {
  const acme = await ask({ scope: 'mcp:use wiki:write export' });
  assert.match(await heading(), /wants to use services of 127\.0\.0\.1/);
  await signIn();
  await shows(page, 'Choose what it gets access to', 'Team wiki', 'Notes', 'Company search', 'Not connected', 'Required', 'At several of them', 'Team wiki and Notes');
  await inspect(page, 'flow-several');

  await press('Allow and finish');
  let wrong = await wrongField();
  assert.deepEqual([wrong.id, wrong.invalid], ['server-0', 'true']);
  assert.match(wrong.words, /Choose at least one server/);
  await inspect(page, 'flow-several-none');

  await box('Notes 127').check();
  await box('Export everything').uncheck();
  await press('Allow and finish');
  wrong = await wrongField();
  assert.match(wrong.words, /This service is required/);
  assert.ok(await box('Notes 127').isChecked() && !(await box('Export everything').isChecked()), 'the choice was lost');
  await inspect(page, 'flow-several-required');

  await press('Connect Notes');
  await press('Cancel');
  wrong = await wrongField();
  assert.match(wrong.id + wrong.words, /Connect Notes.*you did not agree.*Error reference/s);
  await inspect(page, 'flow-several-declined');
  await press('Connect Notes');
  await press('Log in as ada');
  await shows(page, 'Notes is connected', 'Connected');
  assert.match(await focused(), /Notes is connected/);
  assert.ok(await box('Notes 127').isChecked());

  await press('Connect Company search');
  await inspect(page, 'flow-key');
  await page.getByLabel('Search API key').fill('not the key');
  await press('Check and connect');
  wrong = await wrongField();
  assert.equal(wrong.invalid, 'true');
  assert.match(wrong.words, /does not accept this key/);
  await inspect(page, 'flow-key-wrong');
  await page.getByLabel('Search API key').fill(SEARCH_KEY);
  await press('Check and connect');
  assert.match(await focused(), /Company search is connected/);
  assert.ok(await box('Company search 127').isChecked() && await box('Notes 127').isChecked(), 'what was connected is not ticked');
  assert.ok(!(await box('Export everything').isChecked()), 'the choice of scopes was lost');
  await inspect(page, 'flow-several-connected');
  const tokens = await acme.redeem(await acme.answer('Allow and finish'));
  assert.equal(tokens.scope, 'mcp:use connect:notes connect:search');
});

test('whoever may not use what is asked for reads it', async () => {
  await ask({ servers: ['/wiki'] });
  await signIn(BOB_KEY);
  await shows(page, 'bob may not use Team wiki.', 'Go on as somebody who may');
  assert.equal(await page.getByRole('button', { name: 'Allow and finish' }).count(), 0);
  await inspect(page, 'flow-may-not');
  await ask({ servers: ['/wiki', '/search'] });
  await signIn(BOB_KEY);
  await shows(page, 'bob may not use Team wiki.', 'Company search');
  await inspect(page, 'flow-may-not-all');
});

test('other applications and other people', async () => {
  await ask({ clientId: 'editor', servers: ['/wiki'] });
  await press('Continue without signing in');
  await shows(page, 'without an account of yours', 'Registered by the operator', 'only this browser knows you again, for 30 days');
  await inspect(page, 'flow-anonymous');
  await ask({ name: '', redirectUri: 'cursor://anysphere.cursor-mcp/oauth/callback', servers: ['/wiki', '/notes', '/search'] });
  assert.match(await heading(), /^An application that gave no name wants to use Team wiki, Notes and Company search$/);
  const long = 'W'.repeat(255);
  await page.getByLabel('Your user ID').fill(long);
  await press('Continue with user ID');
  await shows(page, 'the app that opens cursor: links', 'user ID, not verified');
  await inspect(page, 'flow-app-scheme');

  const flow = page.url();
  const other = await browser.newContext();
  ({ page } = await watchedPage(other));
  assert.equal((await page.goto(flow)).status(), 403);
  await inspect(page, 'flow-other-browser');
  assert.equal((await page.goto(`${SITE}/oauth/consent?flow_id=x`)).status(), 400);
  await inspect(page, 'flow-damaged');
  await other.close();
});

test('where another handler names everybody, there is no extra page', async () => {
  const known = await browser.newContext({ httpCredentials: { username: 'alice', password: 'alice' } });
  ({ page } = await watchedPage(known));
  const acme = await ask({ site: KNOWN_SITE, servers: ['/wiki'] });
  assert.match(await heading(), /wants to use Team wiki as alice$/);
  await shows(page, 'Sign out of this site');
  await inspect(page, 'flow-caddy');
  assert.ok((await acme.answer('Continue as alice')).get('code'));
  await known.close();
});

test('with a keyboard alone, without scripts', async () => {
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
  ({ page } = await watchedPage(plain));
  const acme = await ask({ servers: ['/wiki'], scope: 'mcp:use wiki:write' });
  await page.getByLabel('Your key').focus();
  await page.keyboard.type(ALICE_KEY);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/mcps/);
  const reach = async (locator) => {
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press('Tab');
      if (await locator.evaluate((e) => e === document.activeElement)) return;
    }
    assert.fail(`Tab does not reach ${locator}`);
  };
  await reach(box('Change and delete pages'));
  await page.keyboard.press('Space');
  const allow = page.getByRole('button', { name: 'Allow and finish' });
  await reach(allow);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${callback}*`);
  const tokens = await acme.redeem(new URL(page.url()).searchParams);
  assert.equal(tokens.scope, 'mcp:use');
  await plain.close();
});
