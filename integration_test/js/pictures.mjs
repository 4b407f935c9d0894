// Takes the pictures of docs/images: what a person sees, from the first link to
// the account page. Addresses are shown as those of a site on the internet.
//
//   SITE=… VIRTUAL_KEY=… SEARCH_KEY=… CHROMIUM=… PICTURES=… node pictures.mjs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { createProvider } from './provider.mjs';
import { launch, shows } from './looks.mjs';

const { SITE, VIRTUAL_KEY, SEARCH_KEY, PICTURES } = process.env;
const here = new URL(SITE).host;
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 640, height: 480 } });
const page = await context.newPage();
const press = (name) => page.getByRole('button', { name, exact: true }).click();

async function picture(name, { dark = false, width = 640 } = {}) {
  await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
  await page.setViewportSize({ width, height: 480 });
  await page.evaluate((here) => {
    const shown = (text) => text.replaceAll(`http://${here}`, 'https://mcp.example.com').replaceAll(here, 'mcp.example.com').replace(/^127\.0\.0\.1$/, 'mcp.example.com');
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = shown(texts.currentNode.data);
    for (const box of document.querySelectorAll('textarea')) box.value = shown(box.value);
    document.activeElement?.blur();
    window.scrollTo(0, 0);
  }, here);
  const bottom = await page.evaluate(() => document.querySelector('main').getBoundingClientRect().bottom + window.scrollY);
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true, clip: { x: 0, y: 0, width, height: Math.ceil(bottom) + 24 } });
}

// An application that wants to use a server.
async function ask(path) {
  const provider = await createProvider();
  provider.clientMetadata.client_name = 'Acme Assistant';
  const transport = new StreamableHTTPClientTransport(new URL(path, SITE), { authProvider: provider });
  await assert.rejects(new Client({ name: 'test', version: '1' }).connect(transport), UnauthorizedError);
  await page.goto(String(provider.authorizationUrl));
  return {
    async token() {
      await page.waitForURL(`${provider.redirectUrl}*`);
      await transport.finishAuth(await provider.checkedAnswer());
      provider.close();
      return provider.saved.tokens.access_token;
    },
  };
}

async function linkFor(path, token) {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': { elicitation: { url: {} } } };
  const answer = await fetch(SITE + path, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': 'whoami',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami', arguments: {}, _meta } }),
  });
  return /https?:[^"]*\/oauth\/connect\/[\w-]+/.exec(await answer.text())[0];
}

try {
  await page.goto(`${SITE}/notes`);
  await picture('server');
  await page.goto(SITE);
  await picture('front');

  let application = await ask('/notes');
  await picture('sign-in');
  await page.getByLabel('Your key').fill(VIRTUAL_KEY);
  await press('Continue with key');
  await picture('consent');
  await picture('consent-phone-dark', { dark: true, width: 360 });
  await press('Connect Notes');
  await press('Log in as ada');
  await shows(page, 'Connected as');
  await picture('consent-connected');
  await press('Allow and finish');
  const token = await application.token();

  application = await ask('/wiki');
  await picture('continue');
  await page.getByRole('button', { name: 'Continue as alice' }).click();
  await application.token();

  await page.goto(`${SITE}/oauth/account`);
  await press('Connect Search');
  await picture('key');
  await page.getByLabel('Search API key').fill(SEARCH_KEY);
  await press('Check and connect');
  await page.goto(`${SITE}/oauth/account`);
  await picture('account');
  await picture('account-phone-dark', { dark: true, width: 360 });
  await page.locator('li', { has: page.getByLabel('Address of Notes') }).locator('summary').click();
  await press('Yes, disconnect Notes');

  const link = await linkFor('/notes', token);
  await page.goto(link);
  await picture('link');
  await press('Connect Notes');
  await shows(page, 'Notes is connected');
  await picture('link-done');
} finally {
  await browser.close();
}
