// The authorization server of the npm package @cloudflare/workers-oauth-provider, and
// an MCP server behind it, on Node in place of Cloudflare Workers: the runtime's
// modules and its key-value store are stood in for.
//
// With documents, it says that it takes client ID metadata documents; without a way
// out of the machine it cannot fetch one.
//
//   node workers-provider.mjs PORT [documents]
import { registerHooks } from 'node:module';
import { randomUUID } from 'node:crypto';
import { serve } from './fetch-server.mjs';

const [port, documents] = process.argv.slice(2);

if (documents) globalThis.Cloudflare = { compatibilityFlags: { global_fetch_strictly_public: true } };
registerHooks({
  resolve: (specifier, context, next) => specifier === 'cloudflare:workers'
    ? { url: 'data:text/javascript,export class WorkerEntrypoint {}', shortCircuit: true }
    : next(specifier, context),
});
const { OAuthProvider } = await import('@cloudflare/workers-oauth-provider');
const { McpServer } = await import('@modelcontextprotocol/sdk/server/mcp.js');
const { WebStandardStreamableHTTPServerTransport } = await import('@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js');

const origin = `http://127.0.0.1:${port}`;

const values = new Map();
const OAUTH_KV = {
  async get(key, as) {
    const text = values.get(key);
    return text && (as === 'json' || as?.type === 'json') ? JSON.parse(text) : text ?? null;
  },
  async put(key, value) { values.set(key, value); },
  async delete(key) { values.delete(key); },
  async list({ prefix }) { return { keys: [...values.keys()].filter((name) => name.startsWith(prefix)).map((name) => ({ name })), list_complete: true }; },
};

const sessions = new Map();
async function mcp(request) {
  const known = sessions.get(request.headers.get('mcp-session-id'));
  if (known) return known.handleRequest(request);
  const transport = new WebStandardStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (id) => { sessions.set(id, transport); } });
  const server = new McpServer({ name: 'workers', version: '1' });
  server.registerTool('hello', { description: 'Says hello.' }, () => ({ content: [{ type: 'text', text: 'hello' }] }));
  await server.connect(transport);
  return transport.handleRequest(request);
}

const provider = new OAuthProvider({
  apiRoute: `${origin}/mcp`,
  apiHandler: { fetch: mcp },
  defaultHandler: {
    async fetch(request, env) {
      if (new URL(request.url).pathname !== '/authorize') return new Response('not found', { status: 404 });
      try {
        await env.OAUTH_PROVIDER.parseAuthRequest(request);
      } catch (err) {
        return new Response(`<p>${err.constructor.name}</p>`, { status: 400, headers: { 'Content-Type': 'text/html' } });
      }
      return new Response('<p>Who are you?</p>', { headers: { 'Content-Type': 'text/html', 'X-Frame-Options': 'DENY' } });
    },
  },
  authorizeEndpoint: `${origin}/authorize`,
  tokenEndpoint: `${origin}/token`,
  clientRegistrationEndpoint: `${origin}/register`,
  scopesSupported: ['mcp:use'],
  clientIdMetadataDocumentEnabled: Boolean(documents),
  resourceMetadata: { resource: `${origin}/mcp` },
  requiredScopes: ['mcp:use'],
});

serve(port, (request) => provider.fetch(request, { OAUTH_KV }, { waitUntil() {}, passThroughOnException() {}, props: {} }));
