// An MCP server of the revisions with sessions: the official TypeScript SDK v1. It needs
// no sign-in.
//
//   node sdk-v1-server.mjs PORT
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const sessions = {};
createServer(async (request, response) => {
  let transport = sessions[request.headers['mcp-session-id']];
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID, onsessioninitialized: (id) => { sessions[id] = transport; }, onsessionclosed: (id) => { delete sessions[id]; },
    });
    const server = new McpServer({ name: 'sdk-v1', version: '1' });
    server.registerTool('hello', { description: 'Says hello.' }, () => ({ content: [{ type: 'text', text: 'hello' }] }));
    await server.connect(transport);
  }
  await transport.handleRequest(request, response);
  if (request.method === 'DELETE') console.log(`sessions: ${Object.keys(sessions).length} `);
}).listen(process.argv[2], '127.0.0.1', () => console.log(`listening at http://127.0.0.1:${process.argv[2]}`));
