// An authorization server for tests, the real one of the npm package
// oidc-provider: client ID metadata documents, dynamic registration, mandatory
// PKCE, refresh tokens that are replaced at each use and whose reuse ends the
// grant, revocation, introspection, resource indicators (RFC 8707).
//
// Access tokens are for one resource. They are JWTs, unless the path of the
// resource starts with /opaque. People log in by pressing a button with their
// name. It keeps everything in memory: started again, it knows nobody.
//
//   node authorization-server.mjs PORT ACCESS_TOKEN_SECONDS INTROSPECTION_SECRET NAME...
//
// Tests steer it with POST /test/outage, /test/recover, /test/lose-answers,
// /test/revoke-all, /test/no-refresh-tokens and /test/lifetime/SECONDS, and read
// from GET /test/counts how often what happened.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Provider, interactionPolicy } from 'oidc-provider';

const [port, accessTokenSeconds, introspectionSecret, ...people] = process.argv.slice(2);
let lifetime = Number(accessTokenSeconds);
let renewable = true;
const issuer = `http://127.0.0.1:${port}`;
const scope = 'read write';

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
  async revokeByGrantId(grantId) { forget((key, record) => record.grantId === grantId); }
}
function forget(test) {
  for (const [key, record] of records) if (test(key, record)) records.delete(key);
}

const counts = { registrations: 0, codes: 0, refreshes: 0, revocations: 0, refusals: 0, clients: [], documents: [] };

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
// Logging in is consent enough.
const policy = interactionPolicy.base();
policy.get('consent').checks.clear();

const provider = new Provider(issuer, {
  adapter: Memory,
  jwks: { keys: [{ ...key, kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  clients: [{
    client_id: 'mcp-servers', client_secret: introspectionSecret,
    redirect_uris: [], response_types: [], grant_types: [],
  }],
  scopes: ['openid', 'email', 'offline_access', ...scope.split(' ')],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client) => renewable && client.grantTypeAllowed('refresh_token'),
  findAccount: async (ctx, name) => ({ accountId: name, claims: async () => ({ sub: name, email: `${name}@accounts.example`, email_verified: true }) }),
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false, // the e-mail address is in the id_token
  ttl: { AccessToken: () => lifetime, Grant: 3600, RefreshToken: 3600, Session: 3600, Interaction: 600 },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
    revocation: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (ctx, resource) => ({
        scope,
        accessTokenTTL: lifetime,
        accessTokenFormat: new URL(resource).pathname.startsWith('/opaque') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  interactions: { url: (ctx, interaction) => `/login/${interaction.uid}`, policy },
  async loadExistingGrant(ctx) {
    const { client, session, params, resourceServers } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope ?? '');
    for (const resource of Object.keys(resourceServers ?? {})) grant.addResourceScope(resource, scope);
    await grant.save();
    return grant;
  },
  // Clients are on loopback here, where it would not connect by itself.
  fetch: (url, { dispatcher, ...options }) => {
    counts.documents.push(String(url));
    return fetch(url, options);
  },
  renderError: async (ctx, out) => {
    ctx.type = 'html';
    ctx.body = `<h1>The provider cannot go on</h1><p>${out.error}</p>`;
  },
});

provider.on('registration_create.success', () => { counts.registrations += 1; });
provider.on('grant.success', (ctx) => {
  counts[ctx.oidc.params.grant_type === 'refresh_token' ? 'refreshes' : 'codes'] += 1;
  if (!counts.clients.includes(ctx.oidc.client.clientId)) counts.clients.push(ctx.oidc.client.clientId);
});
provider.on('grant.error', (ctx, error) => {
  counts.refusals += 1;
  console.log(`refused: ${error.error} ${error.error_detail ?? error.error_description}`);
});
provider.on('grant.revoked', () => { counts.revocations += 1; });
provider.on('authorization.error', (ctx, error) => console.log(`refused: ${error.error} ${error.error_description}`));
provider.on('server_error', (ctx, error) => console.log(error));

let outage = false;
let losing = false;
const steer = {
  outage: () => { outage = true; },
  recover: () => { outage = losing = false; },
  'lose-answers': () => { losing = true; },
  'no-refresh-tokens': () => { renewable = false; },
  lifetime: (seconds) => { lifetime = Number(seconds); },
  'revoke-all': () => forget((key) => /^(Grant|AccessToken|RefreshToken) /.test(key)),
};
function control(request, response) {
  const [, , what, value] = request.url.split('/');
  if (what === 'counts') {
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(counts));
    return;
  }
  steer[what](value);
  response.end();
}

async function logIn(request, response) {
  const { prompt } = await provider.interactionDetails(request, response);
  if (prompt.name === 'consent') {
    await provider.interactionFinished(request, response, { consent: {} });
    return;
  }
  if (request.method !== 'POST') {
    const buttons = people.map((name) => `<button name="who" value="${name}">Log in as ${name}</button>`);
    response.setHeader('Content-Type', 'text/html')
      .end(`<h1>Who are you?</h1><form method="post">${buttons.join('')}<button name="who" value="">Cancel</button></form>`);
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const who = new URLSearchParams(body).get('who');
  const result = people.includes(who) ? { login: { accountId: who } } : { error: 'access_denied' };
  await provider.interactionFinished(request, response, result);
}

const serve = provider.callback();
createServer((request, response) => {
  if (request.url.startsWith('/test/')) {
    control(request, response);
    return;
  }
  // What was asked is done, and nobody gets to know.
  if (losing && request.url === '/token') response.end = () => request.socket.destroy();
  if (outage) response.writeHead(503).end('out of order');
  else if (request.url.startsWith('/login/')) logIn(request, response).catch((error) => response.writeHead(400).end(String(error)));
  else serve(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log(`provider at ${issuer}`));
