// Starts the dashboard, an MCP server, and a gateway in front of it:
//
//   node examples/dashboard/start.mjs here      # or: there
//
// Then add http://localhost:8080/mcp to an MCP client, and sign in as jane, with
// the word "open sesame". CADDY is a Caddy with the plugin; without, it is built.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const shape = process.argv[2] ?? 'here';
const here = dirname(fileURLToPath(import.meta.url));
const env = { ...process.env };
if (shape === 'there') env.DASHBOARD_SECRET ??= randomBytes(32).toString('base64');
const caddyfile = join(here, `dashboard-${shape}.caddyfile`);
const [caddy, ...args] = env.CADDY ? [env.CADDY] : ['go', 'run', './cmd/caddy'];
const programs = [
  [process.execPath, join(here, 'dashboard.mjs')],
  [process.execPath, join(here, 'mcp.mjs')],
  [caddy, ...args, 'run', '--config', caddyfile],
].map(([command, ...words]) => spawn(command, words, { env, stdio: 'inherit', cwd: join(here, '..', '..') }));
// One ends with the others.
for (const program of programs) program.on('exit', (code) => process.exit(code ?? 1));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit());
process.on('exit', () => programs.forEach((program) => program.kill()));
