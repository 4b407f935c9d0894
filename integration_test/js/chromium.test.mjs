// A person with Chromium walks from a client's sign-in link to a tool call,
// and the ways around it. Screenshots of what the person sees go to the folder
// in the environment.
//
//   MCP_URL=… VIRTUAL_KEY=… CHROMIUM=… SCREENSHOTS=… node --test chromium.test.mjs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';

const { MCP_URL, VIRTUAL_KEY, CHROMIUM, SCREENSHOTS } = process.env;
const site = new URL(MCP_URL).origin;

let browser, context, page, complaints;
const providers = [];

before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});
after(async () => {
  providers.forEach((provider) => provider.close());
  await browser.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  ({ page, complaints } = await watchedPage(context));
});
afterEach(() => context.close());

// A page that notes everything the browser complains about, such as a content
// security policy that is violated, and every request to a third party.
async function watchedPage(context) {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    // Chromium writes a line about every page with an error status.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const { origin, hostname } = new URL(request.url());
    if (origin !== site && hostname !== '127.0.0.1') complaints.push(`request to ${origin}`);
  });
  return { page, complaints };
}

// A client that has tried to connect and now wants its person to open a link.
async function startSignIn(options) {
  const provider = await createProvider(options);
  providers.push(provider);
  const transport = new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider: provider });
  const client = new Client({ name: 'integration-test', version: '1' });
  await assert.rejects(client.connect(transport), UnauthorizedError);
  return {
    provider,
    link: String(provider.authorizationUrl),
    async call() {
      await transport.finishAuth(await provider.checkedAnswer());
      const client = new Client({ name: 'integration-test', version: '1' });
      await client.connect(new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider: provider }));
      const { tools } = await client.listTools();
      assert.deepEqual(tools.map(({ name }) => name), ['greet']);
      const { content } = await client.callTool({ name: 'greet', arguments: { name: 'Ada' } });
      await client.close();
      return content[0].text;
    },
  };
}

const press = (name) => page.getByRole('button', { name, exact: true }).click();
const screenshot = (name, of = page) => of.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
async function shows(...texts) {
  const text = (await page.locator('body').innerText()).replace(/\s+/g, ' ');
  for (const wanted of texts) assert.ok(text.includes(wanted), `the page does not show "${wanted}" but: ${text}`);
}

test('sign in with a virtual key, after a wrong one, and call a tool', async () => {
  const { provider, link, call } = await startSignIn();
  await page.goto(link);
  await shows('wants to use Recorder', 'TypeScript client', 'Not verified', 'Continue only if you just started this');
  await screenshot('1-identity');

  await page.getByLabel('Your key').fill('vk-not-a-key-that-anyone-has');
  await press('Continue with key');
  await shows('This key is not known here');
  assert.ok(!page.url().includes('vk-'), 'a key is in the address');
  await screenshot('2-wrong-key');

  await page.getByLabel('Your key').fill(VIRTUAL_KEY);
  await press('Continue with key');
  await shows('wants to use Recorder as alice', 'TypeScript client', 'Not verified', 'virtual key', 'Recorder', new URL(provider.redirectUrl).host);
  await screenshot('3-services');

  await page.getByRole('link', { name: 'Not you?' }).click();
  await page.getByLabel('Your user ID').fill('Ada Lovelace');
  await press('Continue with user ID');
  await shows('Ada Lovelace', 'not verified');
  await screenshot('4-services-user-id');

  const secondTab = await context.newPage();
  await secondTab.goto(page.url());
  await press('Allow and finish');
  await page.waitForURL(`${provider.redirectUrl}*`);
  await shows('Signed in: you can close this window');
  assert.equal(await call(), 'Hello, Ada!');

  await page.goBack();
  await shows('Already answered', 'Error reference');
  page = secondTab;
  await press('Allow and finish');
  await shows('Already answered', 'Error reference');
  await screenshot('5-already-answered');
  assert.deepEqual(complaints, []);
});

test('deny', async () => {
  const { provider, link } = await startSignIn();
  await page.goto(link);
  await press('Continue without signing in');
  await shows('Nobody in particular', 'without an account of yours');
  await screenshot('6-services-anonymous');
  await press('Deny');
  const answer = await provider.answer;
  assert.equal(answer.get('error'), 'access_denied');
  assert.equal(answer.get('state'), provider.state());
  assert.equal(answer.get('iss'), site);
  assert.equal(answer.get('code'), null);
  assert.deepEqual(complaints, []);
});

test('return to an application by its own scheme', async () => {
  const { link } = await startSignIn({ redirectUri: 'cursor://anysphere.cursor-mcp/oauth/callback' });
  await page.goto(link);
  await shows('the app that opens cursor: links');
  await press('Continue without signing in');
  await screenshot('7-services-app-scheme');
  const answered = page.waitForResponse((response) => response.status() === 303 && response.request().method() === 'POST');
  await press('Allow and finish');
  const location = (await answered).headers().location;
  assert.match(location, /^cursor:\/\/anysphere\.cursor-mcp\/oauth\/callback\?/);
  // No application on this machine opens it. What matters is that the page's
  // policy does not stop the browser from asking for one.
  await page.waitForTimeout(500);
  assert.deepEqual(complaints.filter((text) => /Content Security Policy|form-action/i.test(text)), []);
  await screenshot('8-after-app-scheme');
});

test('without scripts, on a telephone, in the dark', async () => {
  const { provider, link, call } = await startSignIn();
  const phone = await browser.newContext({
    javaScriptEnabled: false, colorScheme: 'dark', viewport: { width: 375, height: 740 }, isMobile: true,
  });
  ({ page, complaints } = await watchedPage(phone));
  await page.goto(link);
  await screenshot('9-identity-phone-dark');
  await page.getByLabel('Your key').fill(VIRTUAL_KEY);
  await press('Continue with key');
  await screenshot('10-services-phone-dark');
  await press('Allow and finish');
  await page.waitForURL(`${provider.redirectUrl}*`);
  assert.equal(await call(), 'Hello, Ada!');
  assert.deepEqual(complaints, []);
  await phone.close();
});

test('a link that someone else opens, or that is broken, ends on a readable page', async () => {
  const { link } = await startSignIn();
  await page.goto(link);
  const pageOfFlow = page.url();
  const other = await browser.newContext();
  ({ page } = await watchedPage(other));
  assert.equal((await page.goto(pageOfFlow)).status(), 403);
  await shows('another browser', 'Error reference');
  await screenshot('11-other-browser');

  const foreign = new URL(link);
  foreign.searchParams.set('redirect_uri', 'https://evil.example/callback');
  assert.equal((await page.goto(String(foreign))).status(), 400);
  await shows('Error reference');
  await screenshot('12-foreign-redirect');
  await other.close();
});

test('a client that is itself a web page reads what it needs from another origin', async () => {
  const { provider, link, call } = await startSignIn();
  await page.goto(link);
  await press('Continue without signing in');
  await press('Allow and finish');
  await page.waitForURL(`${provider.redirectUrl}*`); // a page of another origin
  await call();
  const seen = await page.evaluate(async ({ endpoint, token }) => {
    const json = async (...request) => (await fetch(...request)).json();
    const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
    const message = (method, params) => JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const refused = await fetch(endpoint, { method: 'POST', headers, body: message('ping') });
    const challenge = refused.headers.get('WWW-Authenticate');
    const resource = await json(/resource_metadata="([^"]+)"/.exec(challenge)[1]);
    const server = await json(`${resource.authorization_servers[0]}/.well-known/oauth-authorization-server`);
    const registered = await json(server.registration_endpoint, {
      method: 'POST', headers, body: JSON.stringify({ client_name: 'Page', redirect_uris: ['http://127.0.0.1/'] }),
    });
    const initialized = await fetch(endpoint, {
      method: 'POST',
      headers: { ...headers, Authorization: `Bearer ${token}`, 'MCP-Protocol-Version': '2025-11-25' },
      body: message('initialize', {
        protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'page', version: '1' },
      }),
    });
    return {
      refused: refused.status, resource: resource.resource, registered: Boolean(registered.client_id),
      initialized: initialized.status, session: Boolean(initialized.headers.get('Mcp-Session-Id')),
    };
  }, { endpoint: MCP_URL, token: provider.saved.tokens.access_token });
  assert.deepEqual(seen, { refused: 401, resource: MCP_URL, registered: true, initialized: 200, session: true });
});
