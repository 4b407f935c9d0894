// A person with Chromium who signs in at a dashboard on another origin: from a
// client's link to a tool call, and the ways in which somebody else's login is of
// no use.
//
//   MCP_URL=… DASHBOARD_URL=… CONSENT=here|there CHROMIUM=… SCREENSHOTS=… node --test dashboard.test.mjs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';

const { MCP_URL, DASHBOARD_URL, CONSENT, CHROMIUM, SCREENSHOTS } = process.env;
const site = new URL(MCP_URL).origin;
const host = new URL(DASHBOARD_URL).host;
const here = CONSENT === 'here';

let browser;
const providers = [];
before(async () => { browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] }); });
after(async () => {
  providers.forEach((provider) => provider.close());
  await browser.close();
});

async function startSignIn() {
  const provider = await createProvider();
  providers.push(provider);
  const transport = new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider: provider });
  await assert.rejects(new Client({ name: 'integration-test', version: '1' }).connect(transport), UnauthorizedError);
  return {
    provider,
    link: String(provider.authorizationUrl),
    async call() {
      await transport.finishAuth(await provider.checkedAnswer());
      const client = new Client({ name: 'integration-test', version: '1' });
      await client.connect(new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider: provider }));
      const { content } = await client.callTool({ name: 'greet', arguments: { name: 'Ada' } });
      await client.close();
      return content[0].text;
    },
  };
}

// A browser of one person, whose pages complain about nothing.
async function person() {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return {
    page, complaints,
    press: (name) => page.getByRole('button', { name, exact: true }).click(),
    screenshot: (name) => page.screenshot({ path: join(SCREENSHOTS, `dashboard-${CONSENT}-${name}.png`), fullPage: true }),
    async shows(...texts) {
      const text = (await page.locator('body').innerText()).replace(/\s+/g, ' ');
      for (const wanted of texts) assert.ok(text.includes(wanted), `the page does not show "${wanted}" but: ${text}`);
    },
    // Goes to the dashboard from a page of ours, unless that sent the browser there.
    async toDashboard() {
      if (new URL(page.url()).origin === site) await page.getByRole('button', { name: `Sign in at ${host}` }).click();
      await page.waitForURL(`${DASHBOARD_URL}/**`);
    },
    async signIn(name, word) {
      await page.getByLabel('Name').fill(name);
      await page.getByLabel('Word').fill(word);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    },
    close: () => context.close(),
  };
}

test('sign in at the dashboard, approve, and call a tool', async () => {
  const { provider, link, call } = await startSignIn();
  assert.equal(new URL(link).origin, here ? site : DASHBOARD_URL);
  const jane = await person();
  await jane.page.goto(link);
  await jane.toDashboard();
  await jane.screenshot('1-sign-in');
  await jane.signIn('jane', 'wrong');
  await jane.shows('Nobody has this name and this word.');
  await jane.signIn('jane', 'open sesame');
  if (here) {
    await jane.page.waitForURL(`${site}/oauth/consent/mcps*`);
    await jane.shows('jane@acme.example', `signed in at ${host}`, 'TypeScript client', 'Recorder');
    await jane.screenshot('2-consent');
    await jane.press('Allow and finish');
  } else {
    await jane.shows('TypeScript client (not verified) wants to use, as jane@acme.example', 'Recorder', 'a program on this computer');
    await jane.screenshot('2-consent');
    await jane.press('Allow');
  }
  await jane.page.waitForURL(`${provider.redirectUrl}*`);
  assert.equal(await call(), 'Hello, Ada!');
  assert.deepEqual(jane.complaints, []);
  await jane.close();
});

test('refuse at the dashboard', { skip: here }, async () => {
  const { provider, link } = await startSignIn();
  const jane = await person();
  await jane.page.goto(link);
  await jane.signIn('jane', 'open sesame');
  await jane.press('Deny');
  const answer = await provider.answer;
  assert.equal(answer.get('error'), 'access_denied');
  assert.equal(answer.get('iss'), site);
  assert.equal(answer.get('state'), provider.state());
  await jane.close();
});

// Mallory begins, and gets jane, who is signed in at the dashboard, to open the page
// that mallory was sent to.
test("a login that somebody else began ends in this browser, and signs nobody in in theirs", { skip: !here }, async () => {
  const { link } = await startSignIn();
  const mallory = await person();
  await mallory.page.goto(link);
  await mallory.toDashboard();
  const trap = mallory.page.url();

  const jane = await person();
  await jane.page.goto(DASHBOARD_URL);
  await jane.signIn('jane', 'open sesame');
  const answered = await jane.page.goto(trap);
  assert.equal(answered.status(), 403);
  await jane.shows('another browser', 'Error reference');
  await jane.screenshot('3-login-of-another');

  // Jane's address, which mallory never sees, does not help them either without hers.
  await mallory.page.goto(`${site}/oauth/login/callback/dashboard?state=${new URL(trap).searchParams.get('login')}`);
  await mallory.shows('You came back without being signed in');
  assert.ok(!(await mallory.page.locator('body').innerText()).includes('jane'));
  await mallory.screenshot('4-came-back-without');
  await Promise.all([jane.close(), mallory.close()]);
});

// A page of the dashboard's origin may use the endpoints, one of another may not.
test('which pages may call the endpoints of dashboards', async () => {
  const jane = await person();
  const post = (endpoint) => fetch(endpoint, {
    method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: 'Bearer x' }, body: '{}',
  }).then((answer) => answer.status, () => 'blocked');
  const { provider } = await startSignIn();
  for (const [origin, want] of [[`${DASHBOARD_URL}/jwks.json`, 401], [provider.redirectUrl, 'blocked']]) {
    await jane.page.goto(origin);
    await jane.page.route('**/*', (route) => route.continue());
    assert.equal(await jane.page.evaluate(post, `${site}/api/oauth/login`), want, origin);
  }
  await jane.close();
});
