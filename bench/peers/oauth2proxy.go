package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// clientID is what oauth2-proxy is called by its issuer.
const clientID = "bench"

// issuer is an OpenID Connect provider that nobody signs in at: it publishes its key,
// and has signed the ID tokens of all callers before.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
}

// startIssuer starts one in this process.
func startIssuer(p *Peer) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &issuer{"http://" + l.Addr().String(), key}
	server := &http.Server{Handler: i, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	p.ends = append(p.ends, func() { _ = server.Close() })
	return i, nil
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(claims{
			"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url + "/authorize", "token_endpoint": i.url + "/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
		})
	case "/keys":
		point, err := i.key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(claims{"keys": []claims{{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": keyID, "x": base64URL(point[1:33]), "y": base64URL(point[33:]),
		}}})
	default:
		http.NotFound(w, r)
	}
}

// idTokens returns the ID tokens of so many callers.
func (i *issuer) idTokens(callers int) (tokens []string, err error) {
	for n := range callers {
		token, err := signES256(i.key, claims{
			"iss": i.url, "aud": clientID, "sub": fmt.Sprint("caller-", n), "email": fmt.Sprintf("caller-%d@bench.example", n), "email_verified": true,
			"iat": time.Now().Unix(), "exp": time.Now().Add(24 * time.Hour).Unix(),
		})
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// oauth2Proxy starts it with the lines that say what is behind it.
func (p *Peer) oauth2Proxy(ctx context.Context, at Place, behind string, arguments ...string) (addr string, err error) {
	if addr, err = listen(); err != nil {
		return "", err
	}
	i, err := startIssuer(p)
	if err != nil {
		return "", err
	}
	if p.Tokens, err = i.idTokens(at.Callers); err != nil {
		return "", err
	}
	config := filepath.Join(at.Dir, "oauth2-proxy.yaml")
	text := fmt.Sprintf(`server:
  bindAddress: %s
providers:
  - id: bench
    provider: oidc
    clientID: %s
    clientSecret: secret-of-the-benchmark
    oidcConfig:
      issuerURL: %s
      emailClaim: email
      userIDClaim: email
      audienceClaims: [aud]
%s`, addr, clientID, i.url, behind)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	return addr, p.run(ctx, at, addr, at.Programs["oauth2-proxy"], append([]string{
		"--alpha-config", config, "--skip-jwt-bearer-tokens", "--email-domain", "*", "--cookie-secret", "0123456789abcdef0123456789abcdef",
		"--request-logging=false", "--auth-logging=false",
	}, arguments...)...)
}

func startOAuth2Proxy(ctx context.Context, at Place, p *Peer) (err error) {
	credential := filepath.Join(at.Dir, "credential")
	if err := os.WriteFile(credential, []byte(at.Credential), 0o600); err != nil {
		return err
	}
	p.Addr, err = p.oauth2Proxy(ctx, at, fmt.Sprintf(`upstreamConfig:
  upstreams:
    - id: mcp
      path: /
      uri: http://%s
injectRequestHeaders:
  - name: Authorization
    values:
      - secretSource:
          fromFile: %s
`, at.Upstream, credential))
	return err
}

// startForwardAuth starts a Caddy that asks oauth2-proxy about each call.
func startForwardAuth(ctx context.Context, at Place, p *Peer) error {
	asked, err := p.oauth2Proxy(ctx, at, "upstreamConfig:\n  upstreams:\n    - id: none\n      path: /\n      static: true\n      staticCode: 202\n", "--reverse-proxy")
	if err != nil {
		return err
	}
	return p.caddy(ctx, at, at.Caddy, "", fmt.Sprintf("forward_auth %s {\n\t\turi /oauth2/auth\n\t}\n\t%s", asked, at.injecting()))
}
