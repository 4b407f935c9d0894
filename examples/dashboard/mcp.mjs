// An MCP server with one tool, which tells who calls: the gateway says so in
// X-User. Just enough of MCP for the example.
import { createServer } from 'node:http';

const port = Number(process.env.MCP_PORT ?? 3001);
const tool = { name: 'whoami', description: 'Tells who calls.', inputSchema: { type: 'object' } };

const results = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'whoami', version: '1' } }),
  ping: () => ({}),
  'tools/list': () => ({ tools: [tool] }),
  'tools/call': (_, user) => ({ content: [{ type: 'text', text: user ?? 'nobody' }] }),
};

createServer(async (request, response) => {
  if (request.method !== 'POST') return response.writeHead(405).end();
  let body = '';
  for await (const part of request) body += part;
  const { id, method, params } = JSON.parse(body);
  if (id === undefined) return response.writeHead(202).end();
  const answer = results[method]
    ? { result: results[method](params ?? {}, request.headers['x-user']) }
    : { error: { code: -32601, message: 'Method not found' } };
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
}).listen(port, '127.0.0.1', () => console.log(`MCP server at http://127.0.0.1:${port}/mcp`));
