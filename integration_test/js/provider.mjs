// An OAuthClientProvider that keeps everything in memory, and the loopback
// page the browser returns to. Both TypeScript SDKs take the same provider.
import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';

export async function createProvider({ clientMetadataUrl, redirectUri } = {}) {
  let answered;
  const nextAnswer = () => new Promise((resolve) => { answered = resolve; });
  const callback = createServer((request, response) => {
    const url = new URL(request.url, provider.redirectUrl);
    response.setHeader('Content-Type', 'text/html').end('<h1>Signed in: you can close this window</h1>');
    answered(url.searchParams);
  });
  await new Promise((resolve) => callback.listen(0, '127.0.0.1', resolve));

  const state = randomBytes(16).toString('hex');
  const saved = {};
  const secrets = { state };
  const provider = {
    redirectUrl: redirectUri ?? `http://127.0.0.1:${callback.address().port}/callback`,
    ...(clientMetadataUrl && { clientMetadataUrl }),
    clientMetadata: {
      client_name: 'TypeScript client',
      redirect_uris: [],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    state: () => state,
    clientInformation: () => saved.client,
    saveClientInformation: (client) => { saved.client = client; },
    tokens: () => saved.tokens,
    saveTokens: (tokens) => {
      const generation = Object.keys(secrets).length;
      secrets[`access token ${generation}`] = tokens.access_token;
      if (tokens.refresh_token) secrets[`refresh token ${generation}`] = tokens.refresh_token;
      saved.tokens = tokens;
      saved.tokensAt = Date.now();
    },
    invalidateCredentials: (scope) => {
      if (scope === 'all' || scope === 'tokens') delete saved.tokens;
      if (scope === 'all' || scope === 'client') delete saved.client;
    },
    redirectToAuthorization: (url) => { provider.authorizationUrl = url; },
    saveCodeVerifier: (verifier) => { saved.verifier = secrets['code verifier'] = verifier; },
    codeVerifier: () => saved.verifier,
    saveDiscoveryState: (discovery) => { saved.discovery = discovery; },
    discoveryState: () => saved.discovery,

    // What tests need besides.
    secrets,
    saved,
    answer: nextAnswer(),
    /** Resolves with the answer's parameters after checking its state. */
    async checkedAnswer() {
      const params = await provider.answer;
      provider.answer = nextAnswer();
      if (params.get('state') !== state) throw new Error('the answer belongs to another request');
      if (params.get('error')) throw new Error(`refused: ${params.get('error')}`);
      secrets.code = params.get('code');
      return params;
    },
    /** Resolves when the access token has expired; expires_in is rounded down. */
    expired: () => new Promise((resolve) => {
      setTimeout(resolve, saved.tokensAt + saved.tokens.expires_in * 1000 + 1200 - Date.now());
    }),
    close: () => callback.close().closeAllConnections(),
  };
  provider.clientMetadata.redirect_uris.push(provider.redirectUrl);
  return provider;
}
