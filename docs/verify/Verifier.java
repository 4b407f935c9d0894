// Verifies who calls an MCP server behind the site. Needs org.bitbucket.b_c:jose4j
// 0.9.6 or later, and Java 15 or later for EdDSA.
import org.jose4j.jwa.AlgorithmConstraints.ConstraintType;
import org.jose4j.jwk.HttpsJwks;
import org.jose4j.jws.AlgorithmIdentifiers;
import org.jose4j.jwt.JwtClaims;
import org.jose4j.jwt.consumer.InvalidJwtException;
import org.jose4j.jwt.consumer.JwtConsumer;
import org.jose4j.jwt.consumer.JwtConsumerBuilder;
import org.jose4j.keys.resolvers.HttpsJwksVerificationKeyResolver;

/** Verifies what a site says to one server, by the server's URL there. Make it once. */
public final class Verifier {
    private static final String ALGORITHM = AlgorithmIdentifiers.EDDSA; // the site's option signing
    private static final String TYPE = "mcp-identity+jwt"; // at+jwt for access tokens

    private final JwtConsumer consumer;

    public Verifier(String site, String server) {
        // Kept as long as the site says, and fetched again for an unknown kid.
        var keys = new HttpsJwksVerificationKeyResolver(new HttpsJwks(site + "/.well-known/jwks.json"));
        consumer = new JwtConsumerBuilder()
                .setVerificationKeyResolver(keys)
                .setJwsAlgorithmConstraints(ConstraintType.PERMIT, ALGORITHM)
                .setExpectedType(true, TYPE)
                .setExpectedIssuer(true, site)
                .setExpectedAudience(true, server)
                .setRequireSubject()
                .setRequireExpirationTime()
                .setRequireIssuedAt()
                .setAllowedClockSkewInSeconds(10)
                .build();
    }

    /** Returns the claims of whoever calls. */
    public JwtClaims verify(String token) throws InvalidJwtException {
        return consumer.processToClaims(token);
    }
}
