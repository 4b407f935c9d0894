"""Verifies who calls an MCP server behind the site. Needs PyJWT[crypto] 2.6 or later."""

import jwt

ALGORITHM = "EdDSA"  # the site's option signing
TYPE = "mcp-identity+jwt"  # at+jwt for access tokens


class Verifier:
    """Verifies what a site says to one server, by the server's URL there. Make it once."""

    def __init__(self, site: str, server: str):
        self.site, self.server = site, server
        # Kept for an hour, and fetched again for an unknown kid.
        self.keys = jwt.PyJWKClient(site + "/.well-known/jwks.json", lifespan=3600)

    def verify(self, token: str) -> dict:
        """Returns the claims of whoever calls, or raises jwt.PyJWTError."""
        if jwt.get_unverified_header(token).get("typ") != TYPE:
            raise jwt.InvalidTokenError("this is another kind of token")
        return jwt.decode(
            token,
            self.keys.get_signing_key_from_jwt(token).key,
            algorithms=[ALGORITHM],
            issuer=self.site,
            audience=self.server,
            leeway=10,
            options={"require": ["iss", "aud", "exp", "iat", "sub"]},
        )
