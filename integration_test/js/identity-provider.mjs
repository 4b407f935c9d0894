// The identity provider of a company, for tests: the real one of the npm package
// oidc-provider, with groups, refresh tokens that end with the person's session,
// max_age, acr_values, back-channel and RP-initiated logout. What it says of
// people stands in its id_tokens. People log in by pressing a button with their
// name, once per browser.
//
//   node identity-provider.mjs PORT
//
// Tests steer it below /test/: POST client and accounts/NAME with JSON,
// accounts/NAME/disable, accounts/NAME/enable, accounts/NAME/end-sessions,
// clock/SECONDS (how far its clock is ahead), rotate-keys, outage, outage/tokens
// (of the token endpoint alone), recover; and read from GET counts how often
// what happened. It forgets all when it ends.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Provider, interactionPolicy } from 'oidc-provider';

const [port] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const realNow = Date.now;
let ahead = 0;
Date.now = () => realNow() + ahead;

const accounts = new Map(); // claims, by name; null while disabled
const records = new Map();
class Memory {
  constructor(kind) { this.kind = kind; }
  key(id) { return `${this.kind} ${id}`; }
  async upsert(id, payload) { records.set(this.key(id), payload); }
  async find(id) { return records.get(this.key(id)); }
  async findByUid(uid) { // sessions only
    for (const [key, record] of records) if (key.startsWith('Session ') && record.uid === uid) return record;
    return undefined;
  }
  async findByUserCode() { return undefined; }
  async consume(id) { records.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { records.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const [key, record] of records) if (record.grantId === grantId) records.delete(key);
  }
}

const counts = { logins: 0, codes: 0, refreshes: 0, refusals: 0, logouts: 0, keys: 0, userinfo: 0 };

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' };
}

// Logging in is consent enough.
const policy = interactionPolicy.base();
policy.get('consent').checks.clear();

const page = (title, body) => `<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${body}</html>`;

function newProvider() {
  const provider = new Provider(issuer, {
    adapter: Memory,
    jwks: { keys: [newKey()] },
    cookies: { keys: [cookieKey] },
    claims: {
      openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'], groups: ['groups'],
    },
    scopes: ['openid', 'offline_access'],
    acrValues: ['urn:example:mfa'],
    conformIdTokenClaims: false, // all claims into the id_token
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: async (ctx, name) => {
      const claims = accounts.get(name);
      return claims ? { accountId: name, claims: async () => ({ ...claims, sub: name }) } : undefined;
    },
    ttl: { AccessToken: 300, IdToken: 300, Grant: 3600, RefreshToken: 3600, Session: 3600, Interaction: 600 },
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx, form) => {
          ctx.body = page('Log out of the company?', `${form}<button form="op.logoutForm" name="logout" value="yes">Log me out</button>`);
        },
        postLogoutSuccessSource: async (ctx) => { ctx.body = page('Logged out of the company', ''); },
      },
    },
    interactions: { url: (ctx, interaction) => `/login/${interaction.uid}`, policy },
    async loadExistingGrant(ctx) {
      const { client, session, params } = ctx.oidc;
      const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope(params.scope ?? '');
      await grant.save();
      return grant;
    },
    // The other side is on loopback here, where it would not connect by itself.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    renderError: async (ctx, out) => {
      ctx.type = 'html';
      ctx.body = page('The provider cannot go on', `<p>${out.error}</p>`);
    },
  });
  provider.on('grant.success', (ctx) => {
    counts[ctx.oidc.params.grant_type === 'refresh_token' ? 'refreshes' : 'codes'] += 1;
  });
  provider.on('grant.error', (ctx, error) => {
    counts.refusals += 1;
    console.log(`refused: ${error.error} ${error.error_detail ?? error.error_description}`);
  });
  provider.on('backchannel.success', () => { counts.logouts += 1; });
  provider.on('backchannel.error', (ctx, error) => console.log(`not told: ${error.message}`));
  provider.on('authorization.error', (ctx, error) => console.log(`refused: ${error.error} ${error.error_description}`));
  provider.on('server_error', (ctx, error) => console.log(error));
  return provider;
}
const cookieKey = randomBytes(32).toString('hex');
let provider = newProvider();
let serve = provider.callback();

// Ends the sessions of a person in every browser, as an administrator does, and
// tells those who are to be told. Answers with what they said.
async function endSessions(name) {
  const told = [];
  for (const [key, session] of [...records]) {
    if (!key.startsWith('Session ') || session.accountId !== name) continue;
    records.delete(key);
    for (const [id, { sid, grantId }] of Object.entries(session.authorizations ?? {})) {
      const client = await provider.Client.find(id);
      if (client?.backchannelLogoutUri) {
        told.push(await client.backchannelLogout(name, sid).then(() => 'ok', (error) => error.message));
      }
      await new Memory().revokeByGrantId(grantId);
    }
  }
  return told;
}

let outage = ''; // of what
async function control(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const [, , what, value, then] = request.url.split('/');
  let answer = {};
  if (what === 'counts') answer = counts;
  else if (what === 'client') records.set(`Client ${JSON.parse(body).client_id}`, JSON.parse(body));
  else if (what === 'accounts' && !then) accounts.set(value, JSON.parse(body));
  else if (then === 'disable') accounts.set(`off ${value}`, accounts.get(value)), accounts.delete(value);
  else if (then === 'enable') accounts.set(value, accounts.get(`off ${value}`)), accounts.delete(`off ${value}`);
  else if (then === 'end-sessions') answer = await endSessions(value);
  else if (what === 'clock') ahead = Number(value) * 1000;
  else if (what === 'rotate-keys') provider = newProvider(), serve = provider.callback();
  else if (what === 'outage') outage = value ?? 'all';
  else if (what === 'recover') outage = '';
  else response.statusCode = 404;
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
}

async function logIn(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    const names = [...accounts.keys()].filter((name) => !name.startsWith('off '));
    const buttons = names.map((name) => `<button name="who" value="${name}">Log in as ${name}</button>`);
    response.setHeader('Content-Type', 'text/html')
      .end(page('Who are you?', `<form method="post">${buttons.join('')}<button name="who" value="">Cancel</button></form>`));
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const who = new URLSearchParams(body).get('who');
  if (!accounts.has(who)) {
    await provider.interactionFinished(request, response, { error: 'access_denied' });
    return;
  }
  counts.logins += 1;
  const login = { accountId: who, amr: ['pwd'], ...(params.acr_values && { acr: params.acr_values.split(' ')[0] }) };
  await provider.interactionFinished(request, response, { login });
}

createServer((request, response) => {
  if (request.url.startsWith('/test/')) {
    control(request, response).catch((error) => response.writeHead(400).end(String(error)));
    return;
  }
  if (outage === 'all' || (outage === 'tokens' && request.url.startsWith('/token'))) {
    response.writeHead(503).end('out of order');
    return;
  }
  if (request.url.startsWith('/jwks')) counts.keys += 1;
  if (request.url.startsWith('/me')) counts.userinfo += 1;
  if (request.url.startsWith('/login/')) logIn(request, response).catch((error) => response.writeHead(400).end(String(error)));
  else serve(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log(`provider at ${issuer}`));
