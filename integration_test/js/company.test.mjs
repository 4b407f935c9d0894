// People of a company with Chromium: from the link of a real MCP client to their
// identity provider and back, a second application, signing out here and there,
// and what is shown to whoever is not let in or finds the provider out of order.
//
//   MCP_URL=… PROVIDER=… MAKE=oidc-provider|zitadel CHROMIUM=… SCREENSHOTS=… node --test company.test.mjs
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';
import { inspect, launch, shows, watchedPage } from './looks.mjs';

const { MCP_URL, PROVIDER, MAKE } = process.env;
const site = new URL(MCP_URL).origin;

let browser, context, page, complaints;
const clients = [];

before(async () => { browser = await launch(); });
after(async () => {
  clients.forEach((client) => client.close());
  await browser.close();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  ({ page, complaints } = await watchedPage(context));
});
afterEach(() => context.close());

const press = (name) => page.getByRole('button', { name, exact: true }).click();

// A client that has tried to connect and now wants its person to open a link.
async function startClient() {
  const provider = await createProvider();
  clients.push(provider);
  const transport = new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider: provider });
  await assert.rejects(new Client({ name: 'test', version: '1' }).connect(transport), UnauthorizedError);
  return {
    link: String(provider.authorizationUrl),
    async call() {
      await page.waitForURL(`${provider.redirectUrl}*`);
      await transport.finishAuth(await provider.checkedAnswer());
      const client = new Client({ name: 'test', version: '1' });
      await client.connect(new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider: provider }));
      const { content } = await client.callTool({ name: 'greet', arguments: { name: 'Ada' } });
      await client.close();
      return content[0].text;
    },
  };
}

const atProvider = () => page.waitForURL(`${PROVIDER}/**`);

async function logIn(name) {
  await atProvider();
  if (MAKE === 'zitadel') {
    await page.getByLabel('Username').fill(name);
    await page.getByLabel('Password').fill('secret');
    await press('Login');
  } else {
    await press(`Log in as ${name}`);
  }
}

test('sign in to two applications, sign out here and there, and come back', async () => {
  const first = await startClient();
  await page.goto(first.link); // there is one place to sign in, so nobody is asked which
  await logIn('ada');
  await shows(page, 'TypeScript client', 'ada', 'signed in at company');
  await inspect(page, `${MAKE}-decide`);
  await press('Allow and finish');
  assert.equal(await first.call(), 'Hello, Ada!');

  const second = await startClient();
  await page.goto(second.link);
  assert.equal(new URL(page.url()).origin, site, 'who is known here is sent to the provider');
  await press('Continue as ada@example.com');
  assert.equal(await second.call(), 'Hello, Ada!');

  await page.goto(`${site}/oauth/account`);
  await shows(page, 'ada@example.com', 'TypeScript client');
  await press('Sign out');
  await shows(page, 'You are signed out in this browser', 'may be signed in again without a password');
  await inspect(page, `${MAKE}-signed-out`);
  if (MAKE === 'oidc-provider') { // takes no POST unless its operator says so
    await page.getByRole('link', { name: 'If the button leads nowhere, sign out there by this link' }).click();
    await press('Log me out');
  } else {
    await press('Sign out there, too');
  }
  await page.waitForURL(`${site}/oauth/account*`);

  const third = await startClient();
  await page.goto(third.link);
  await logIn('ada'); // asks again
  await press('Allow and finish');
  assert.equal(await third.call(), 'Hello, Ada!');
  assert.deepEqual(complaints, []);
});

test('who is not let in reads why, and can be somebody else', async () => {
  const { link, call } = await startClient();
  await page.goto(link);
  await logIn('eve');
  await shows(page, 'this site does not let you in with that account', 'Error reference', 'TypeScript client');
  await inspect(page, `${MAKE}-not-let-in`);
  if (MAKE === 'zitadel') { // the other one knows eve already
    await press('Continue with company');
    await logIn('ada');
    await press('Allow and finish');
    assert.equal(await call(), 'Hello, Ada!');
  }
  assert.deepEqual(complaints, []);
});

const steer = (what) => fetch(`${PROVIDER}/test/${what}`, { method: 'POST', body: '{}' });

test('a provider that is out of order', async () => {
  const { link, call } = await startClient();
  await page.goto(link);
  await steer('outage/tokens');
  await logIn('ada');
  await shows(page, 'does not answer at the moment', 'Nothing was granted', 'Error reference');
  await inspect(page, `${MAKE}-down`);
  await steer('recover');
  await page.getByRole('link', { name: 'Go back' }).click();
  const button = page.getByRole('button', { name: 'Continue with company', exact: true });
  if (await button.isVisible()) await button.click();
  if (MAKE === 'zitadel') await logIn('ada'); // the other one knows ada already
  await press('Allow and finish');
  assert.equal(await call(), 'Hello, Ada!');
  assert.deepEqual(complaints, []);
});
