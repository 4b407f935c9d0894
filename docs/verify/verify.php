<?php
// Verifies who calls an MCP server behind the site. Needs firebase/php-jwt 6.10 or
// later, the extension sodium for EdDSA, and any PSR-18 client and PSR-6 cache, such
// as guzzlehttp/guzzle and symfony/cache.

use Firebase\JWT\CachedKeySet;
use Firebase\JWT\JWT;
use Psr\Cache\CacheItemPoolInterface;
use Psr\Http\Client\ClientInterface;
use Psr\Http\Message\RequestFactoryInterface;

/** Verifies what a site says to one server, by the server's URL there. */
final class Verifier
{
    private const ALGORITHM = 'EdDSA'; // the site's option signing
    private const TYPE = 'mcp-identity+jwt'; // at+jwt for access tokens

    private CachedKeySet $keys;

    public function __construct(
        private string $site,
        private string $server,
        ClientInterface $http,
        RequestFactoryInterface $requests,
        CacheItemPoolInterface $cache,
    ) {
        // Kept for an hour, and fetched again for an unknown kid, ten times a minute at most.
        $this->keys = new CachedKeySet($site . '/.well-known/jwks.json', $http, $requests, $cache, 3600, true);
    }

    /** Returns the claims of whoever calls. */
    public function verify(string $token): stdClass
    {
        JWT::$leeway = 10;
        $header = new stdClass();
        $claims = JWT::decode($token, $this->keys, $header); // signature, kid, exp, iat
        $audience = (array) ($claims->aud ?? []);
        if (($header->alg ?? '') !== self::ALGORITHM || ($header->typ ?? '') !== self::TYPE
            || ($claims->iss ?? '') !== $this->site || !in_array($this->server, $audience, true)
            || !isset($claims->exp, $claims->sub)) {
            throw new UnexpectedValueException('the token is not for this server');
        }
        return $claims;
    }
}
