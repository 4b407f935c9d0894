package clients

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

const (
	// hostRetry is how long a host that could not be reached is left
	// alone, and namesTimeout how long its name may take to resolve.
	hostRetry    = time.Minute
	namesTimeout = time.Second
)

// wellKnownHosts are the hosts of common clients' metadata documents.
var wellKnownHosts = []string{"claude.ai", "chatgpt.com", "vscode.dev", "github.com", "zed.dev", "opencode.ai"}

// watchedHostsOf returns the hosts by which a site judges whether it can fetch
// metadata documents: well-known ones, and those that the operator lists. Of
// any other host, whoever names it also decides whether it can be reached.
func watchedHostsOf(policy *config.Registration) []string {
	listed := slices.DeleteFunc(slices.Clone(policy.AllowHosts), func(h string) bool { return strings.HasPrefix(h, ".") })
	var hosts []string
	for _, h := range slices.Concat(listed, wellKnownHosts) {
		if h = strings.ToLower(h); hostAccepted(h, policy) && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// outages knows the watched hosts that this process could not connect to. Clients
// that read that documents are supported do not register in another way when
// theirs cannot be fetched, so they must not read it then.
type outages struct {
	names   sync.Mutex // held while names are resolved
	checked bool       // that any name resolves

	mu     sync.Mutex
	byHost map[string]outage
}

// outage is what is known of a host that could not be reached.
type outage struct {
	url     string // of the document to try again; empty if only names were tried
	retryAt time.Time
}

func newOutages() *outages {
	return &outages{byHost: map[string]outage{}}
}

// began notes that the document at the URL could not be reached.
func (o *outages) began(host, rawURL string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.byHost[host] = outage{rawURL, now.Add(hostRetry)}
}

// ended notes that the host was reached, or that its name resolves, which is
// an end only to an outage of names. It reports whether an outage ended.
func (o *outages) ended(host string, reached bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	out, known := o.byHost[host]
	if !known || !reached && out.url != "" {
		return false
	}
	delete(o.byHost, host)
	return true
}

// any reports whether one of the hosts cannot be reached.
func (o *outages) any(hosts []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(hosts, func(h string) bool { _, out := o.byHost[h]; return out })
}

// due returns the URLs, by host, that it is time to try again, and puts the
// next time off.
func (o *outages) due(hosts []string, now time.Time) map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	due := map[string]string{}
	for _, h := range hosts {
		if out, ok := o.byHost[h]; ok && !now.Before(out.retryAt) {
			due[h] = out.url
			o.byHost[h] = outage{out.url, now.Add(hostRetry)}
		}
	}
	return due
}

// watchedHosts are the hosts by which one site judges whether it can fetch
// documents.
type watchedHosts struct {
	hosts    []string
	outages  *outages
	resolves func(context.Context, *egress.Client, string) bool
	egress   *egress.Client
	limiter  *ratelimit.Limiter
	events   *event.Recorder
	now      func() time.Time
}

func newWatchedHosts(policy *config.Registration, deps *DirectoryDeps) *watchedHosts {
	return &watchedHosts{
		hosts: watchedHostsOf(policy), outages: deps.Documents.outages, resolves: deps.Documents.Resolves, egress: deps.Egress,
		limiter: deps.Limiter, events: deps.Events, now: deps.Now,
	}
}

// reachable reports whether none is known to be out of reach. Before anything
// was fetched it asks the resolver for their names: without one, no document
// can be had.
func (p *watchedHosts) reachable(ctx context.Context) bool {
	p.checkNames(ctx)
	return !p.outages.any(p.hosts)
}

// checkNames notes an outage if no watched host's name resolves, once.
func (p *watchedHosts) checkNames(ctx context.Context) {
	o := p.outages
	o.names.Lock()
	defer o.names.Unlock()
	if o.checked || len(p.hosts) == 0 || p.egress.Loopback() {
		return
	}
	o.checked = true
	p.resolveNames(ctx)
}

// resolveNames asks for the names of all watched hosts, until one resolves.
func (p *watchedHosts) resolveNames(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), namesTimeout)
	defer cancel()
	if slices.ContainsFunc(p.hosts, func(host string) bool { return p.resolves(ctx, p.egress, host) }) {
		p.worksAgain(p.hosts[0], false)
		return
	}
	p.failed(p.hosts[0], "", errors.New("no name of a host of client metadata documents resolves"))
}

// note takes down whether the host of a document was reached. An outage is
// told to the operator, but nobody can warn them all day by naming hosts that
// there are not.
func (p *watchedHosts) note(rawURL string, err error) {
	u, malformed := url.Parse(rawURL)
	if malformed != nil || errors.Is(err, egress.ErrURL) { // nothing was tried
		return
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case !errors.Is(err, egress.ErrUnreachable):
		p.worksAgain(host, true)
	case slices.Contains(p.hosts, host):
		p.failed(host, rawURL, err)
	case !errors.Is(err, egress.ErrAddress):
		p.events.Record(context.Background(), event.Event{
			Kind: event.ClientDocumentUnreachable, Reason: "other_host", Provider: host, Err: err, Known: !p.limiter.Allow("unreachable_host", "", 1),
		})
	}
}

func (p *watchedHosts) worksAgain(host string, reached bool) {
	if p.outages.ended(host, reached) {
		p.events.Record(context.Background(), event.Event{Kind: event.ProviderRecovered, Provider: host, Reason: "client_documents"})
	}
}

func (p *watchedHosts) failed(host, rawURL string, cause error) {
	p.outages.began(host, rawURL, p.now())
	p.events.Record(context.Background(), event.Event{
		Kind: event.ClientDocumentUnreachable, Reason: "well_known_host", Provider: host, Err: cause,
		Detail: "Until it works, clients are told to register dynamically instead. Allow outgoing https, or set metadata_documents off in registration.",
	})
}
