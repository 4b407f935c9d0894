// A client of one of the TypeScript SDKs that signs in as often as the server
// wants it, and prints the link each time.
export async function loadSDK(sdk) {
  return sdk === 'v2'
    ? import('@modelcontextprotocol/client')
    : {
      ...await import('@modelcontextprotocol/sdk/client/index.js'),
      ...await import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
      ...await import('@modelcontextprotocol/sdk/client/auth.js'),
    };
}

/** Resolves with a connected client after at most `visits` visits to the sign-in page.
 * What it prints begins with the prefix. */
export async function connect(sdk, url, provider, visits = 1, prefix = '') {
  const { Client, StreamableHTTPClientTransport, UnauthorizedError } = await loadSDK(sdk);
  for (let visit = 1; ; visit++) {
    const client = new Client({ name: 'integration-test', version: '1' });
    const transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
    try {
      await client.connect(transport);
      return client;
    } catch (error) {
      if (!(error instanceof UnauthorizedError) || visit > visits) throw error;
    }
    console.log(`${prefix}Visit ${visit}: ${provider.authorizationUrl} `);
    const answer = await provider.checkedAnswer();
    await (sdk === 'v2' ? transport.finishAuth(answer) : transport.finishAuth(answer.get('code')));
  }
}
