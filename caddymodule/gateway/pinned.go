package gateway

import (
	"context"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

// Pinned are the tools of a server as they were approved, and what is done with others.
type Pinned struct {
	*pins.Tools
	Kept sealedvalue.Place
	*config.PinTools
}

// NewPinned returns those of a server, nil if its tools are not pinned.
func NewPinned(s *config.Server, tools *pins.Tools, kept sealedvalue.Place) *Pinned {
	if s.PinTools == nil {
		return nil
	}
	return &Pinned{tools, kept, s.PinTools}
}

// holds reports whether tools are held back that were not approved.
func (p *Pinned) holds() bool { return p != nil && p.Mode == config.PinHold }

// ready reads what was approved. Without it, nothing can be judged.
func (p *Pinned) ready(ctx context.Context, person string) error {
	if p == nil {
		return nil
	}
	if err := p.Ready(ctx, p.Kept); err != nil {
		return err
	}
	if p.FirstList == config.FirstHeld {
		p.Begin(p.Kept.Now())
	}
	if p.Approvers != config.ApproverPerson {
		return nil
	}
	return p.ReadyFor(ctx, p.Kept, person)
}

// viewer is for whom the server lists its tools, and whose approval counts.
func (s *Server) viewer(caller *tokens.Caller) pins.Viewer {
	v := pins.Viewer{View: s.ViewThrough(caller.Identity.Subject, caller.ClientID)}
	if s.PeopleApprove() {
		v.Person = caller.Identity.Subject
	}
	return v
}

// isReady reads which tools were approved, and reports whether that is known; else it
// answers.
func isReady(c *Call, w http.ResponseWriter, r *http.Request) bool {
	err := c.server.Pinned.ready(r.Context(), c.caller.Identity.Subject)
	if err == nil {
		return true
	}
	answer := oauth.Unavailable(err)
	happened := answer.Event(event.CallFailed)
	happened.Kind, happened.Reason = event.CallFailed, "approved_tools_unknown"
	answer.Answer(w, c.server.refer(r, c, happened))
	return false
}

// holdsBack reports whether a call is of a tool that was not approved as the server
// listed it to the caller. A server that listed nothing to them yet is asked first.
func holdsBack(c *Call, ctx context.Context, item access.Item) bool {
	if item.Kind != access.Tool || !c.server.Pinned.holds() {
		return false
	}
	seeTools(c, ctx)
	return c.server.Pinned.Look(c.server.viewer(c.caller), item.Name) != pins.Good
}

// seeTools has the server list its tools for the caller, unless it has done so. Once a
// call is on its way, others read what the request has.
func seeTools(c *Call, ctx context.Context) {
	viewer := c.server.viewer(c.caller)
	if c.server.Pinned.holds() && c.target == nil && c.server.Pinned.Look(viewer, "") == pins.Unseen {
		askOnce(c, ctx, "The tools of the MCP server are pinned, and it cannot be asked for its list.")
	}
}

// stillGood reports whether a call may go on, as far as it is of a tool.
func (s *Server) stillGood(caller *tokens.Caller, item access.Item) bool {
	return item.Kind != access.Tool || !s.Pinned.holds() || s.Pinned.Look(s.viewer(caller), item.Name) != pins.Held
}

// judge reports whether a tool stays in a list, as far as its definition goes.
func (p *listPolicy) judge(name string, definition []byte) bool {
	pinned := p.call.server.Pinned
	approved, news := pinned.Judge(p.viewer, name, definition, p.now)
	if news != pins.NoNews {
		detail := "It is passed on."
		if pinned.holds() {
			detail = "It is held back until it is approved: " + pins.ApproveCommand(p.call.server.Configured().ID, name)
		}
		p.call.server.record(p.req, p.call, event.Event{Kind: event.ToolChanged, Reason: string(news), Tool: name[:min(len(name), maxWritten)], Detail: detail})
	}
	return approved || !pinned.holds()
}

// listed takes note of the end of a list.
func (p *listPolicy) listed(last bool) {
	if p.call.server.Pinned.Listed(p.viewer, last, p.now) {
		p.call.server.record(p.req, p.call, event.Event{Kind: event.ToolsPinned, By: event.BySite, Detail: "What changes from now on has a line of its own."})
	}
}
