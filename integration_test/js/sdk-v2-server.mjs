// An MCP server of revision 2026-07-28, and of those before: the official TypeScript
// SDK v2, which looks at Origin. It needs no sign-in.
//
//   node sdk-v2-server.mjs PORT
import { McpServer, createMcpHandler, originValidationResponse } from '@modelcontextprotocol/server';
import { serve } from './fetch-server.mjs';

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'sdk-v2', version: '1' });
  server.registerTool('hello', { description: 'Says hello.' }, () => ({ content: [{ type: 'text', text: 'hello' }] }));
  return server;
});
serve(process.argv[2], (request) => originValidationResponse(request, ['localhost', '127.0.0.1']) ?? handler.fetch(request));
