package peers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// Registration is what a client says of itself wherever clients register.
const Registration = `{"client_name":"bench","redirect_uris":["` + redirectURI + `"],"response_types":["code"],` +
	`"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"}`

const redirectURI = "http://127.0.0.1/callback"

// startSigbit starts sigbit/mcp-auth-proxy, and signs in for each caller.
func startSigbit(ctx context.Context, at Place, p *Peer) (err error) {
	const password = "password-of-the-benchmark"
	if p.Addr, err = listen(); err != nil {
		return err
	}
	p.Registration = "/.idp/register"
	credential, _ := strings.CutPrefix(at.Credential, "Bearer ")
	if err := p.run(ctx, at, p.Addr, at.Programs["sigbit"],
		"--listen", p.Addr, "--external-url", "http://"+p.Addr, "--no-auto-tls", "--data-path", at.Dir,
		"--password", password, "--proxy-bearer-token", credential, "http://"+at.Upstream,
	); err != nil {
		return err
	}
	p.Tokens, err = (&sigbitClient{site: "http://" + p.Addr, password: password}).tokens(at.Callers)
	return err
}

// sigbitClient is a client, and the browser of whoever uses it.
type sigbitClient struct {
	site, password string
	http           http.Client
	id             string
}

// tokens returns the access tokens of so many sign-ins. Only the first one asks for the
// password: the browser has a session after.
func (c *sigbitClient) tokens(callers int) (tokens []string, err error) {
	if c.http.Jar, err = cookiejar.New(nil); err != nil {
		return nil, err
	}
	c.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	var registered struct {
		ID string `json:"client_id"`
	}
	resp, err := c.http.Post(c.site+"/.idp/register", "application/json", strings.NewReader(Registration))
	if err := read(resp, err, http.StatusCreated, &registered); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	c.id = registered.ID
	for range callers {
		token, err := c.signIn()
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

func (c *sigbitClient) signIn() (token string, err error) {
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	resp, err := c.http.Get(c.site + "/.idp/auth?" + url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {redirectURI}, "state": {rand.Text()},
		"code_challenge": {base64URL(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	if err == nil && resp.Request.URL.Path == "/.auth/login" {
		_ = resp.Body.Close()
		resp, err = c.http.PostForm(resp.Request.URL.String(), url.Values{"password": {c.password}})
	}
	if err != nil {
		return "", fmt.Errorf("authorize: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	back, err := resp.Location()
	if err != nil || back.Query().Get("code") == "" {
		return "", fmt.Errorf("authorize ended at %s with %s, without a code: %v", resp.Request.URL, resp.Status, back)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	resp, err = c.http.PostForm(c.site+"/.idp/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "code_verifier": {verifier},
		"client_id": {c.id}, "redirect_uri": {redirectURI},
	})
	if err := read(resp, err, http.StatusOK, &answer); err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	if answer.Token == "" {
		return "", errors.New("token: no access token")
	}
	return answer.Token, nil
}

// read reads the JSON of an answer.
func read(resp *http.Response, err error, want int, into any) error {
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %.300s", resp.Status, bytes.TrimSpace(body))
	}
	return json.Unmarshal(body, into)
}
