// Signs in with one of the TypeScript SDKs, lists the tools, calls one that may not be
// used, and one that needs a scope. v2 leads its person to the page for that, and goes on
// in a new session: the one before belongs to what was allowed before. v1 refreshes its
// token instead, which gives it no more, and fails. Prints at the end one line of JSON
// with what happened.
//
//   node narrowed.mjs v1|v2 URL
import { connect, loadSDK } from './client.mjs';
import { createProvider } from './provider.mjs';

const [sdk, address] = process.argv.slice(2);
const { UnauthorizedError } = await loadSDK(sdk);
const provider = await createProvider();
let client = await connect(sdk, new URL(address), provider);
const { tools } = await client.listTools();
const call = async (name) => (await client.callTool({ name, arguments: {} })).content[0].text;
const refusal = await call('delete_page').then((text) => `it answers ${text}`, ({ message }) => message);
const before = await call('read_page');

const created = await call('create_page').catch(async (error) => {
  if (!(error instanceof UnauthorizedError)) return error.message;
  console.log(`Visit 2: ${provider.authorizationUrl} `);
  await client.transport.finishAuth(await provider.checkedAnswer());
  await client.close().catch(() => {}); // it cannot end the session with the new token
  client = await connect(sdk, new URL(address), provider);
  return call('create_page');
});
const after = await call('read_page');
await client.close();
provider.close();
console.log(JSON.stringify({ tools: tools.map(({ name }) => name), refusal, before, created, after }));
