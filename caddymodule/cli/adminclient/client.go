package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// Client asks the admin API of a Caddy that runs, or should.
type Client struct {
	at     string // as the operator wrote it
	url    string // without a path
	origin string // as Caddy's admin API wants it; empty for a socket
	client *http.Client
}

// Refusal is an answer of the admin API that says why not.
type Refusal struct {
	Code int // the HTTP status
	Text string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// Place says where the admin API should be: at the address, or where a configuration
// says, read by an adapter. All may be empty.
type Place struct{ Address, Config, Adapter string }

// New returns a client of the admin API that is meant.
func New(p Place) (*Client, error) {
	address, err := p.find()
	if err != nil {
		return nil, err
	}
	to, err := caddy.ParseNetworkAddress(strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/"))
	if err != nil || to.PortRangeSize() > 1 || !to.IsUnixNetwork() && !strings.HasPrefix(to.Network, "tcp") {
		return nil, fmt.Errorf("%q is not the address of an admin API; write it as localhost:2019 or unix//run/caddy/admin.sock", address)
	}
	url := "http://" + to.JoinHostPort(0)
	a := &Client{at: address, url: url, origin: url}
	if to.IsUnixNetwork() {
		a.url, a.origin = "http://127.0.0.1", ""
		to.Host, _, _ = strings.Cut(to.Host, "|") // its permissions
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	a.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, to.Network, to.JoinHostPort(0))
		},
		ResponseHeaderTimeout: 2 * time.Minute,
	}}
	return a, nil
}

// find returns the address, as Caddy's commands find it.
func (p Place) find() (string, error) {
	if p.Address != "" {
		return p.Address, nil
	}
	file := p.Config
	if file == "" {
		return caddy.DefaultAdminListen, nil // CADDY_ADMIN, if that is set
	}
	config, err := readConfig(file, p.Adapter)
	if err != nil {
		return "", err
	}
	var found struct {
		Admin caddy.AdminConfig `json:"admin"`
	}
	if err := json.Unmarshal(config, &found); err != nil {
		return "", fmt.Errorf("%s is no configuration of Caddy: %w", file, err)
	}
	if found.Admin.Disabled {
		return "", fmt.Errorf("%s turns the admin API off (admin off), which this command asks; turn it on, such as with: admin unix//run/caddy/admin.sock", file)
	}
	address, err := caddy.NewReplacer().ReplaceOrErr(found.Admin.Listen, true, true)
	if err != nil {
		return "", fmt.Errorf("the address of the admin API in %s: %w", file, err)
	}
	if address == "" {
		return caddy.DefaultAdminListen, nil
	}
	return address, nil
}

// readConfig reads a configuration, as JSON. Caddy's own way logs what it does.
func readConfig(file, adapter string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil || adapter == "" && json.Valid(text) {
		return text, err
	}
	if adapter == "" {
		adapter = "caddyfile"
	}
	adapts := caddyconfig.GetAdapter(adapter)
	if adapts == nil {
		return nil, fmt.Errorf("there is no adapter %q in this Caddy", adapter)
	}
	config, _, err := adapts.Adapt(text, map[string]any{"filename": file})
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", file, err)
	}
	return config, nil
}

// Do asks, and reads the answer.
func (a *Client) Do(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	res, err := a.Send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(answer); err != nil {
		return a.noAdmin(err)
	}
	return nil
}

// Send asks, and returns an answer that is no refusal.
func (a *Client) Send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	target := a.url + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, sent)
	if err != nil {
		return nil, err
	}
	if a.origin != "" {
		req.Header.Set("Origin", a.origin)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, a.unreachable(err)
	}
	if res.StatusCode/100 != 2 {
		defer func() { _ = res.Body.Close() }()
		return nil, a.explain(res)
	}
	return res, nil
}

// unreachable says what is wrong where nobody answers.
func (a *Client) unreachable(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var dialed *net.OpError
	switch {
	case errors.As(err, &dialed) && dialed.Op == "dial" && errors.Is(err, os.ErrPermission):
		return fmt.Errorf("you may not open the admin API at %s: %w; run this as who may, such as with sudo", a.at, err)
	case errors.As(err, &dialed) && dialed.Op == "dial":
		return fmt.Errorf("no Caddy answers at %s: %w; start it or, if its admin API is elsewhere, say where with --address or --config", a.at, err)
	}
	return a.noAdmin(err)
}

func (a *Client) noAdmin(err error) error {
	return fmt.Errorf("what answers at %s is not the admin API of Caddy, or it ended while it answered: %w", a.at, err)
}

// explain returns what a refusal says.
func (a *Client) explain(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var said struct {
		Error string `json:"error"`
	}
	switch err := json.Unmarshal(text, &said); {
	case err == nil && said.Error != "":
		return &Refusal{res.StatusCode, said.Error}
	case res.StatusCode == http.StatusNotFound:
		return &Refusal{res.StatusCode, fmt.Sprintf("the Caddy at %s does not know this: it runs without the mcp_oauth plugin, or with another version of it", a.at)}
	}
	return a.noAdmin(fmt.Errorf("HTTP status %s", res.Status))
}
