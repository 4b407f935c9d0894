// A web application with accounts of its own, at which people sign in, and which
// vouches for them at an MCP gateway. It has no dependencies:
//
//   node examples/dashboard/start.mjs here      # or: there
//
// starts it, an MCP server, and a gateway in front of that. What your application
// needs of this file is connect(), which answers at authorize_url.
import { createHmac, generateKeyPairSync, randomBytes, sign, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const port = Number(process.env.DASHBOARD_PORT ?? 3000);
const origin = `http://127.0.0.1:${port}`;
const gateway = process.env.GATEWAY_URL ?? 'http://localhost:8080';
const secret = process.env.DASHBOARD_SECRET; // with it, JWTs are signed with HS256

// Who can sign in, with a word. A real application has a real login.
const people = {
  jane: { word: 'open sesame', sub: 'u-1001', email: 'jane@acme.example', displayName: 'Jane Doe', role: 'admin', groups: ['staff'] },
  john: { word: 'let me in', sub: 'u-1002', email: 'john@acme.example', displayName: 'John Roe', role: 'member', groups: ['guests'] },
};

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keyID = randomBytes(8).toString('hex');

// A JWT for the gateway alone, about one person, good for a minute.
function jwtFor({ sub, email, displayName, role, groups }) {
  const now = Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = secret ? { alg: 'HS256', typ: 'JWT' } : { alg: 'ES256', typ: 'JWT', kid: keyID };
  const text = `${encode(header)}.${encode({ iss: origin, aud: 'mcp', sub, email, displayName, role, groups, iat: now, exp: now + 60 })}`;
  const signature = secret
    ? createHmac('sha256', secret).update(text).digest('base64url')
    : sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  return `${text}.${signature}`;
}

// Asks the gateway something in the name of a person.
async function ask(person, path, body) {
  const answer = await fetch(gateway + path, {
    method: body ? 'POST' : 'GET',
    headers: { Authorization: `Bearer ${jwtFor(person)}`, ...(body && { 'Content-Type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(`${said.detail} (${said.correlation_id})`), { status: answer.status });
  return said;
}

// connect answers at authorize_url for somebody who is signed in here. With a login
// the gateway wants to know who it is; with anything else a client of the gateway
// wants to be let in, if people approve here ("consent there").
async function connect(person, session, query, response) {
  const login = query.get('login');
  if (login) {
    const { redirect_to } = await ask(person, '/api/oauth/login', { login });
    return redirect(response, redirect_to);
  }
  const request = await ask(person, `/api/oauth/authorize/request?${query}`);
  page(response, 200, 'Allow this application?', consent(request, query, session));
}

function consent({ client, redirect: to, servers, choose_servers: choose, person }, query, session) {
  const says = { operator: 'known here', host: `published by ${client.host}`, nobody: 'not verified' }[client.verified_by];
  const where = { web: to.host, loopback: 'a program on this computer', app: `the app of ${to.uri.split(':')[0]}: links` }[to.kind];
  const list = servers.map(({ title, resource, scopes, account }) => `<li>
    ${choose ? `<label><input type="checkbox" form="decide" name="approved_resources" value="${text(resource)}"> ${text(title)}</label>` : text(title)}
    <small>${scopes.map(({ name, description }) => text(description ?? name)).join(', ')}</small>
    ${account ? `– your account is ${account.connected ? 'connected' : `<a href="${text(account.connect_url)}" target="_blank" rel="noopener">not connected</a>`}` : ''}</li>`);
  return `<p><strong>${text(client.client_name)}</strong> (${text(says)}) wants to use, as ${text(person.name)}:</p>
    <ul>${list.join('')}</ul><p>The answer goes to ${text(where)}.</p>
    <form id="decide" method="post" action="/decide"><input type="hidden" name="csrf" value="${session.csrf}">
    <input type="hidden" name="request" value="${text(query)}">
    <button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></form>`;
}

// decide takes the form of the consent page: from our own page, for this person.
async function decide(person, session, form, response) {
  if (!same(form.get('csrf') ?? '', session.csrf)) throw Object.assign(new Error('This form is not ours.'), { status: 403 });
  const query = new URLSearchParams(form.get('request') ?? '');
  const approved = form.getAll('approved_resources');
  const { redirect_to } = await ask(person, '/api/oauth/authorize', {
    ...Object.fromEntries(query), resource: query.getAll('resource'),
    decision: form.get('decision'), ...(approved.length && { approved_resources: approved }),
  });
  redirect(response, redirect_to); // never to the redirect_uri that the request named
}

// What follows is any web application: a login, a cookie, pages.

const sessions = new Map();
const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
const text = (value) => String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function page(response, status, title, body) {
  response.writeHead(status, {
    // Not no-referrer, which takes the origin off our own forms.
    'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store', 'Referrer-Policy': 'same-origin',
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  }).end(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${text(title)}</title>
    <style>body{font:1rem/1.5 system-ui;max-width:34rem;margin:3rem auto;padding:0 1rem}button{font:inherit;padding:.4rem 1rem}</style>
    <p>Acme dashboard</p><h1>${text(title)}</h1>${body}</html>`);
}

function redirect(response, to) {
  response.writeHead(303, { Location: to, 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' }).end();
}

function signInPage(response, next, problem = '') {
  page(response, problem ? 403 : 200, 'Sign in', `<p>${text(problem)}</p><form method="post" action="/sign-in">
    <input type="hidden" name="next" value="${text(next)}"><p><label>Name <input name="name" autocomplete="username"></label></p>
    <p><label>Word <input name="word" type="password" autocomplete="current-password"></label></p><button>Sign in</button></form>`);
}

function signIn(form, response) {
  const person = Object.hasOwn(people, form.get('name')) ? people[form.get('name')] : undefined;
  const next = form.get('next') ?? '/';
  if (!person || !same(form.get('word') ?? '', person.word)) return signInPage(response, next, 'Nobody has this name and this word.');
  const id = randomBytes(32).toString('base64url');
  sessions.set(id, { person, csrf: randomBytes(32).toString('base64url') });
  response.setHeader('Set-Cookie', `dashboard=${id}; Path=/; HttpOnly; SameSite=Lax`);
  redirect(response, /^\/(?!\/)/.test(next) ? next : '/'); // to a page of ours
}

async function formOf(request) {
  // Only our own pages send forms.
  if (request.headers.origin && request.headers.origin !== origin) throw Object.assign(new Error('This form is not ours.'), { status: 403 });
  let body = '';
  for await (const part of request) if ((body += part).length > 64 << 10) throw Object.assign(new Error('Too large.'), { status: 413 });
  return new URLSearchParams(body);
}

async function answer(request, response) {
  const url = new URL(request.url, origin);
  const session = sessions.get(/(?:^|; )dashboard=([^;]+)/.exec(request.headers.cookie ?? '')?.[1]);
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /jwks.json':
      return response.writeHead(200, { 'Content-Type': 'application/json' })
        .end(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: keyID, use: 'sig', alg: 'ES256' }] }));
    case 'POST /sign-in':
      return signIn(await formOf(request), response);
    case 'GET /oauth/authorize':
      if (!session) return signInPage(response, url.pathname + url.search);
      return connect(session.person, session, url.searchParams, response);
    case 'POST /decide':
      if (!session) return signInPage(response, '/');
      return decide(session.person, session, await formOf(request), response);
    case 'GET /':
      if (!session) return signInPage(response, '/');
      return page(response, 200, `Hello ${session.person.displayName}`, `<p>Add <code>${text(gateway)}/mcp</code> to your MCP client.</p>`);
  }
  page(response, 404, 'Not found', '');
}

createServer((request, response) => {
  answer(request, response).catch((error) => page(response, error.status ?? 500, 'That did not work', `<p>${text(error.message)}</p>`));
}).listen(port, '127.0.0.1', () => console.log(`dashboard at ${origin}`));
