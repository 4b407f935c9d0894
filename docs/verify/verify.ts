// Verifies who calls an MCP server behind the site. Needs jose 5 or later.
import { createRemoteJWKSet, jwtVerify, type JWTPayload } from "jose";

const algorithm = "EdDSA"; // the site's option signing
const type = "mcp-identity+jwt"; // at+jwt for access tokens

/** Returns what verifies the tokens of a site for the server with this URL there. Make it once. */
export function verifier(site: string, server: string): (token: string) => Promise<JWTPayload> {
	// Kept for ten minutes, and fetched again for an unknown kid.
	const keys = createRemoteJWKSet(new URL(site + "/.well-known/jwks.json"));
	return async (token) => {
		const { payload } = await jwtVerify(token, keys, {
			algorithms: [algorithm],
			typ: type,
			issuer: site,
			audience: server,
			clockTolerance: 10,
			requiredClaims: ["sub", "exp", "iat"],
		});
		return payload;
	};
}
