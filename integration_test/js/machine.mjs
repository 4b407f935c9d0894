// A program that acts for nobody, with the provider that the TypeScript SDK has for
// such: lists and calls tools, lets the access token expire, and calls again in the
// same session. Prints one line of JSON with what happened.
//
//   node machine.mjs v1|v2 ISSUER URL TOOL ARGUMENTS CLIENT_ID secret|key SECRET_OR_PEM
import { setTimeout as wait } from 'node:timers/promises';
import { loadSDK } from './client.mjs';

const [sdk, expectedIssuer, address, tool, args, clientId, how, credential] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await loadSDK(sdk);
const { ClientCredentialsProvider, PrivateKeyJwtProvider } = sdk === 'v2'
  ? await import('@modelcontextprotocol/client')
  : await import('@modelcontextprotocol/sdk/client/auth-extensions.js');

const provider = how === 'key'
  ? new PrivateKeyJwtProvider({ clientId, expectedIssuer, privateKey: credential, algorithm: 'ES256' })
  : new ClientCredentialsProvider({ clientId, expectedIssuer, clientSecret: credential });
const client = new Client({ name: 'a program', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(address), { authProvider: provider });
await client.connect(transport);
const session = transport.sessionId;
const { tools } = await client.listTools();
const call = () => client.callTool({ name: tool, arguments: JSON.parse(args) });
const first = await call();
const before = await provider.tokens();
await wait(1000 * before.expires_in + 1500); // it is told in whole seconds
const second = await call();
const after = await provider.tokens();
await client.close();

console.log(JSON.stringify({
  tools: tools.map(({ name }) => name),
  results: [first, second].map(({ content }) => content[0].text),
  anew: before.access_token !== after.access_token,
  session: session === transport.sessionId || transport.sessionId === undefined,
  refresh: before.refresh_token ?? '',
  tokens: [before.access_token, after.access_token],
}));
