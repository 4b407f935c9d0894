// Serves what is written for the Fetch API, on Node.
import { createServer } from 'node:http';
import { Readable } from 'node:stream';

export function serve(port, fetch) {
  const origin = `http://127.0.0.1:${port}`;
  createServer(async (req, res) => {
    const request = new Request(origin + req.url, {
      method: req.method, headers: req.headers, duplex: 'half',
      body: ['GET', 'HEAD'].includes(req.method) ? undefined : Readable.toWeb(req),
    });
    const answer = await fetch(request);
    res.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body) Readable.fromWeb(answer.body).pipe(res); else res.end();
  }).listen(port, '127.0.0.1', () => console.log(`listening at ${origin}`));
}
