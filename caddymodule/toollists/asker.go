package toollists

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp/inquiry"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

const (
	// patience is how long a page waits for servers.
	patience = 2 * time.Second
	// askTimeout bounds one inquiry: what comes after the page is there for the next one.
	askTimeout = 10 * time.Second
	// farewell bounds how long a server has to end a session.
	farewell = 2 * time.Second
	// atOnce bounds for how many people a server is asked at the same time.
	atOnce = 4
)

// Asker asks the servers of a site.
type Asker struct {
	Accounts *accounts.Broker // nil if nobody connects any
	Events   *event.Recorder
	Now      func() time.Time

	servers map[string]*place
}

// place is a server as it is configured.
type place struct {
	*gateway.Server
	slots chan struct{}
}

// Add adds a server, before any is asked.
func (a *Asker) Add(s *gateway.Server) {
	if a.servers == nil {
		a.servers = map[string]*place{}
	}
	a.servers[s.ID] = &place{s, make(chan struct{}, atOnce)}
}

// Ask implements tools.Asker.
func (a *Asker) Ask(r *http.Request, p tools.Person, servers []*config.Server) map[string]tools.Told {
	from, ok := originOf(r)
	if !ok {
		return nil
	}
	told := make(map[string]tools.Told, len(servers))
	var mu sync.Mutex
	answers := make(chan struct{}, len(servers))
	for _, s := range servers {
		q := &question{asker: a, at: a.servers[s.Configured().ID], server: s, person: p, from: from}
		if q.at == nil {
			answers <- struct{}{}
			continue
		}
		go func() {
			defer func() { answers <- struct{}{} }()
			t := q.ask()
			mu.Lock()
			told[s.ID] = t
			mu.Unlock()
		}()
	}
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for range servers {
		select {
		case <-answers:
			continue
		case <-enough.C:
		case <-r.Context().Done():
		}
		break
	}
	mu.Lock()
	defer mu.Unlock()
	return maps.Clone(told) // what comes later changes it no more
}

// question is one question of a person at one server.
type question struct {
	asker  *Asker
	at     *place
	server *config.Server // as the person uses it: perhaps an account there
	person tools.Person
	from   origin
}

// ask asks the server, unless it was asked lately, and returns what it says.
func (q *question) ask() tools.Told {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Not a deadline, which would count as a failure of the server's with the proxy.
	defer time.AfterFunc(askTimeout, cancel).Stop()
	as, own, err := q.as(ctx)
	if err != nil {
		if !errors.Is(err, accounts.ErrNotConnected) && !errors.Is(err, accounts.ErrNeedsReauth) {
			q.failed(err)
		}
		return tools.Told{}
	}
	now := q.asker.Now()
	if list, lately := q.at.Offers.Heard(as, now); lately {
		return tools.Told{Tools: list, Known: true}
	}
	q.at.Offers.Ask("page\x00"+as, now, ctx.Done(), func() {
		if err := q.listen(ctx, as, own); err != nil {
			q.failed(err)
		}
	})
	list, lately := q.at.Offers.Heard(as, q.asker.Now())
	return tools.Told{Tools: list, Known: lately}
}

// as returns as whom the server is asked: everybody, or one person with one account.
func (q *question) as(ctx context.Context) (as string, own gateway.Own, err error) {
	own.Person = &tokens.Caller{}
	if q.server.Auth != nil {
		own.Credential, err = q.asker.Accounts.Credential(ctx, q.person.Owner(q.server), q.server.ID)
		if err != nil {
			return "", own, err
		}
	}
	if !q.server.ListsByAccount() {
		return "", own, nil
	}
	id := q.person.Identity
	as = "person\x00" + id.Kind + "\x00" + id.Subject + "\x00" + id.Proof + "\x00" + q.server.ID
	if len(q.server.IdentityHeaders) > 0 || q.server.IdentityJWT != "" { // it is told of the client, too
		as += "\x00" + q.person.Client
	}
	if own.Credential != nil {
		as += "\x00" + own.Credential.Epoch
	}
	own.Person = &tokens.Caller{Holder: as, ClientID: q.person.Client, Identity: *id}
	return as, own, nil
}

// listen has the server list its tools, and remembers them.
func (q *question) listen(ctx context.Context, as string, own gateway.Own) error {
	select {
	case q.at.slots <- struct{}{}:
		defer func() { <-q.at.slots }()
	case <-ctx.Done():
		return errBusy
	}
	at := *q.at.Server
	at.Server = q.server
	conversation := inquiry.New(&carrier{server: &at, own: own, from: q.from}, q.server.Resource)
	list, err := conversation.Tools(ctx)
	go func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer time.AfterFunc(farewell, cancel).Stop()
		conversation.End(ctx)
	}()
	if err != nil {
		return err
	}
	offers := q.at.Offers
	if !q.server.ListsByAccount() {
		for _, t := range list {
			offers.Note(access.Tool, []byte(t.Name), t.Annotations, t.Definition)
		}
		offers.Ended(access.Tool)
		offers.Hear(as, nil, q.asker.Now())
		return nil
	}
	entries := make([]catalog.Entry, len(list))
	for i, t := range list {
		entries[i] = catalog.NewTool(t.Name, t.Annotations, t.Definition)
	}
	offers.Hear(as, entries, q.asker.Now())
	return nil
}

var errBusy = errors.New("mcp_oauth: the server is being asked for too many people at once")

// failed tells operators that people are not shown what there is. It is about the server
// alone: nothing that the person or their client did went wrong.
func (q *question) failed(err error) {
	q.asker.Events.Record(context.Background(), event.Event{
		Kind: event.ServerFailed, Reason: "tools_unknown", Server: q.server.ID, Err: err, Detail: "A page was to show the tools of the MCP server, and the server cannot be asked for its list.",
	})
}
