// Signs in with one of the TypeScript SDKs, once more when the server asks for
// it, and calls a tool. Prints at the end one line of JSON with what happened.
//
//   node asked-again.mjs v1|v2 URL TOOL
import { connect } from './client.mjs';
import { createProvider } from './provider.mjs';

const [sdk, address, tool] = process.argv.slice(2);
const provider = await createProvider();
const client = await connect(sdk, new URL(address), provider, 2);
const { structuredContent } = await client.callTool({ name: tool, arguments: {} });
await client.close();
provider.close();
console.log(JSON.stringify(structuredContent));
