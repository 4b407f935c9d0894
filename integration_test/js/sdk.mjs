// Signs in with one of the TypeScript SDKs, lists and calls tools, lets the
// access token expire, and calls again. Prints the sign-in link when there is
// one, and at the end one line of JSON with what happened.
//
//   node sdk.mjs v1|v2 URL TOOL ARGUMENTS [CLIENT_METADATA_URL]
import { connect } from './client.mjs';
import { createProvider } from './provider.mjs';

const [sdk, address, tool, args, clientMetadataUrl] = process.argv.slice(2);
const provider = await createProvider({ clientMetadataUrl });
const client = await connect(sdk, new URL(address), provider);
const { tools } = await client.listTools();
const call = () => client.callTool({ name: tool, arguments: JSON.parse(args) });
const first = await call();
const before = provider.saved.tokens;
await provider.expired();
const second = await call();
await client.close();
provider.close();

console.log(JSON.stringify({
  tools: tools.map(({ name }) => name),
  results: [first, second].map(({ content }) => content[0].text),
  refreshed: before.access_token !== provider.saved.tokens.access_token,
  rotated: before.refresh_token !== provider.saved.tokens.refresh_token,
  clientId: provider.saved.client.client_id,
  scope: before.scope,
  secrets: provider.secrets,
}));
