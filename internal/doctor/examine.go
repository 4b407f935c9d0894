package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// Options say how to examine. The zero value asks without any credential.
type Options struct {
	// Token is sent with calls: an access token or a virtual key.
	Token string
	// ClientID and ClientSecret are those of the family that is configured.
	ClientID, ClientSecret string
	// ClientDocument is the client ID that families with a metadata document
	// use in place of that of Claude Code and Claude.
	ClientDocument string
	// Redirect is the redirect URI of ClientID or of ClientDocument, in place of
	// those that well-known clients have.
	Redirect string
	// NoRegistration registers no clients.
	NoRegistration bool
	// RootCAs are trusted instead of those of this machine. Insecure trusts
	// every certificate.
	RootCAs  *x509.CertPool
	Insecure bool
	Resolver *net.Resolver

	// dialer leads tests to their servers.
	dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// internet has tests say that their servers are on the internet.
	internet bool
}

// examination is one run.
type examination struct {
	o      *Options
	wire   *wire
	report *Report
	target target
	// url is the target as people write it.
	url string
	// made are clients to be deleted.
	made map[string]*client
	// state, verifier and challenge are those of all authorization requests.
	state, verifier string
	// used are the clients that asked for authorization.
	used []*client
	// issued are tokens to be revoked.
	issued []issued
	// signsIn is true once a call without a token was refused.
	signsIn bool
}

// Examine examines the MCP server at a URL.
func Examine(ctx context.Context, address string, o Options) *Report {
	r := &Report{
		Format: Format, URL: shown(address),
		Clients: []ClientReport{}, Findings: []Finding{}, Registrations: []Registration{}, Exchanges: []Exchange{},
	}
	u, err := parseTarget(address)
	if err != nil {
		r.Reason = err.Error()
		r.settle()
		return r
	}
	x := &examination{
		o: &o, wire: newWire(&o), report: r, target: u, url: u.String(), made: map[string]*client{},
		state: oauth.NewSecret("doctor_"), verifier: oauth.NewSecret(""),
	}
	x.wire.anywhere.Store(!o.internet && !onInternet(ctx, &o, u.Hostname()))
	if x.answers(ctx) {
		for _, f := range families {
			r.Clients = append(r.Clients, x.play(ctx, f))
		}
		x.beyond(ctx)
		x.cleanUp(ctx)
	}
	r.Exchanges = x.wire.exchanges
	x.redact()
	r.settle()
	return r
}

const cleanUpTimeout = 30 * time.Second

// cleanUp takes back what was made, also when the examination was broken off.
func (x *examination) cleanUp(ctx context.Context) {
	if ctx.Err() != nil {
		x.report.Reason = "the examination was broken off"
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	x.leaveSessions(ctx)
	x.revoke(ctx)
	x.takeBack(ctx)
}

// answers reports whether there is somebody to examine.
func (x *examination) answers(ctx context.Context) bool {
	a := x.wire.do(ctx, x.initialize(families[0], ""))
	switch {
	case a.err != nil && untrusted(a.err):
		x.find(badCertificate, x.url, a.err.Error(), a)
	case a.err != nil:
		x.report.Reason = "the server does not answer: " + said(a.err.Error())
	case a.status == 429:
		x.report.Reason = "the server asks to come back later (429)"
	default:
		return true
	}
	return false
}

// has reports whether there is such a finding at the address.
func (x *examination) has(k *Kind, at string) bool {
	return slices.ContainsFunc(x.report.Findings, func(f Finding) bool { return f.ID == k.ID && f.At == shown(at) })
}

// maxReferences is how many answers of one finding are worth looking up.
const maxReferences = 3

// find records a finding, once for each address.
func (x *examination) find(k *Kind, at, seen string, from *answer, clients ...string) {
	if from != nil && errors.Is(from.err, context.Canceled) { // it was broken off
		return
	}
	at = shown(at)
	i := slices.IndexFunc(x.report.Findings, func(f Finding) bool { return f.ID == k.ID && f.At == at })
	if i < 0 {
		i = len(x.report.Findings)
		x.report.Findings = append(x.report.Findings, Finding{
			ID: k.ID, Severity: k.Severity, Title: k.Title, At: at, Seen: said(seen), Spec: k.Spec, Fix: k.Fix, Clients: []string{},
		})
	}
	f := &x.report.Findings[i]
	for _, id := range clients {
		if id != noFamily.id && !slices.Contains(f.Clients, id) {
			f.Clients = append(f.Clients, id)
		}
	}
	if from == nil {
		return
	}
	if id := from.reference(); id != "" && !slices.Contains(f.References, id) && len(f.References) < maxReferences {
		f.References = append(f.References, id)
	}
}

// redact removes what must not be repeated from what servers wrote.
func (x *examination) redact() {
	clean := func(s *string) {
		for _, secret := range x.wire.secrets {
			*s = strings.ReplaceAll(*s, secret, "[secret]")
		}
	}
	r := x.report
	clean(&r.Reason)
	for i := range r.Findings {
		clean(&r.Findings[i].Seen)
		clean(&r.Findings[i].At)
	}
	for i := range r.Clients {
		for j := range r.Clients[i].Steps {
			clean(&r.Clients[i].Steps[j].Text)
		}
	}
	for i := range r.Exchanges {
		clean(&r.Exchanges[i].URL)
		clean(&r.Exchanges[i].Error)
	}
	if r.Server != nil {
		clean(&r.Server.Name)
		clean(&r.Server.Version)
	}
}

// describe returns an answer in a few words.
func (a *answer) describe() string {
	if a.err != nil {
		return a.err.Error()
	}
	if to, ok := a.location(); ok {
		return fmt.Sprintf("%d to %s", a.status, shown(to.String()))
	}
	var refusal struct{ Error any }
	if a.json(&refusal) == nil {
		switch e := refusal.Error.(type) {
		case string:
			return fmt.Sprintf("%d, %s", a.status, said(e))
		case map[string]any:
			return fmt.Sprintf("%d, error %v: %v", a.status, e["code"], e["message"])
		}
	}
	if kind := egress.MediaType(a.header); kind != "" {
		return fmt.Sprintf("%d, %s", a.status, kind)
	}
	return fmt.Sprint(a.status)
}
