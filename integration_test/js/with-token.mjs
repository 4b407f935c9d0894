// Loaded before the conformance suite, which has no way to send a token: adds
// one to every request for the gateway. A proxy between the two would do too,
// but then the suite would judge the proxy as well.
//
//   GATEWAY=http://… TOKEN=… node --import with-token.mjs …
import { subscribe } from 'node:diagnostics_channel';

const { GATEWAY, TOKEN } = process.env;

subscribe('undici:request:create', ({ request }) => {
  if (String(request.origin) === GATEWAY) request.addHeader('Authorization', `Bearer ${TOKEN}`);
});
subscribe('http.client.request.created', ({ request }) => {
  if (`http://${request.getHeader('Host')}` === GATEWAY) request.setHeader('Authorization', `Bearer ${TOKEN}`);
});
