// Has two accounts at one server with one of the TypeScript SDKs, and calls with both at
// the same time. Prints the sign-in links, and at the end one line of JSON: as whom it
// called at each.
//
//   node two-accounts.mjs v1|v2 URL
import { connect } from './client.mjs';
import { createProvider } from './provider.mjs';

const [sdk, address] = process.argv.slice(2);
const names = ['work', 'home'];
const connections = await Promise.all(names.map(async (name) => {
  const provider = await createProvider();
  return { name, provider, client: await connect(sdk, new URL(name, address), provider, 1, `${name} `) };
}));
const called = {};
await Promise.all(connections.map(async ({ name, client }) => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.callTool({ name: 'whoami', arguments: {} })));
  called[name] = [...new Set(answers.map(({ structuredContent }) => structuredContent.account))];
}));
for (const { client, provider } of connections) {
  await client.close();
  provider.close();
}
console.log(JSON.stringify(called));
