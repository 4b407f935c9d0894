package adminapi

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// ToolsPath is where operators see the tools of servers, and ApproveToolsPath where they
// approve those that changed.
const (
	ToolsPath        = "/mcp_oauth/tools"
	ApproveToolsPath = "/mcp_oauth/tools/approve"
)

var toolServer = parameter{name: "server", required: true, about: "The id of the MCP server."}

var toolRoutes = []route{{
	method: http.MethodGet, path: ToolsPath,
	about: "The tools of a server, as far as it listed them through this site, and with `pin_tools` what of them was not approved. " +
		"What a definition says are the server's words: they may be meant to deceive.",
	query: []parameter{siteParameter, toolServer}, answer: Tools{}, fails: []int{http.StatusNotFound}, serve: listTools,
}, {
	method: http.MethodPost, path: ApproveToolsPath,
	about: "Approves definitions of tools for everybody. They are named by their hash, so that what was looked at is what is approved: " +
		"409 if one of them does not wait any more, and then none is.",
	query: []parameter{siteParameter, toolServer}, body: ApproveTools{}, answer: ApprovedTools{},
	fails: []int{http.StatusNotFound, http.StatusConflict}, serve: approveTools,
}}

// Tools are those of a server.
type Tools struct {
	Site   string `json:"site"`
	Server string `json:"server"`
	// Mode is that of `pin_tools`: `off`, `warn` or `hold`.
	Mode string `json:"mode"`
	// PinnedAt is since when changes are noticed; left out if no list was seen yet.
	PinnedAt time.Time `json:"pinned_at,omitzero"`
	Tools    []Tool    `json:"tools"` // by name
}

// Tool is one of a server's tools.
type Tool struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// State is `approved`, `changed` or `new` or, if tools are not pinned, `listed`. A tool
	// that is changed can be approved as well, for those who are listed what it was.
	State string `json:"state"`
	// Definitions is how many are approved.
	Definitions int       `json:"definitions,omitempty"`
	ApprovedAt  time.Time `json:"approved_at,omitzero"` // the newest of them
	// ApprovedBy is `operator`, or `first_list` for what was there when tools were
	// pinned.
	ApprovedBy string        `json:"approved_by,omitempty"`
	Pending    []PendingTool `json:"pending,omitempty"` // the newest last
}

// PendingTool is a definition that was not approved.
type PendingTool struct {
	Hash   string    `json:"hash"`
	SeenAt time.Time `json:"seen_at"` // first
	// Changes are what it has other than the newest that was approved, field by field.
	Changes []ToolChange `json:"changes"`
}

// ToolChange is what two definitions have different, in the server's words.
type ToolChange struct {
	Field  string `json:"field"` // such as `description` or `inputSchema.properties.path.type`
	Before string `json:"before"`
	After  string `json:"after"`
}

// ApproveTools names what is approved.
type ApproveTools struct {
	Tools []ApproveTool `json:"tools"`
}

// ApproveTool is a definition of a tool.
type ApproveTool struct {
	Name string `json:"name"`
	Hash string `json:"hash"` // of `pending`
}

// ApprovedTools says what was approved.
type ApprovedTools struct {
	Approved int `json:"approved"` // definitions
}

// toolsOf returns the one site that has the server.
func (c *call) toolsOf() (*Site, error) {
	_, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, err
	}
	return siteWith(sites, c.query.Get("server"))
}

// siteWith returns the one site that has a server.
func siteWith(sites []*Site, server string) (*Site, error) {
	found := slices.DeleteFunc(slices.Clone(sites), func(s *Site) bool { return s.Server.Config().Server(server) == nil })
	switch len(found) {
	case 0:
		return nil, unknownServer(sites, server)
	case 1:
		return found[0], nil
	}
	return nil, apiError(http.StatusBadRequest, "several sites have a server "+strconv.Quote(server)+"; name one with site, of: "+strings.Join(issuersOf(found), ", "))
}

func listTools(c *call) (any, error) {
	site, err := c.toolsOf()
	if err != nil {
		return nil, err
	}
	server := site.Server.Config().Server(c.query.Get("server")).Configured()
	answer := Tools{Site: site.Issuer, Server: server.ID, Mode: "off", Tools: []Tool{}}
	titles := map[string]string{}
	for _, e := range site.Offers(server.ID).All(access.Tool) {
		titles[e.Name] = e.Title
		if server.PinTools == nil {
			answer.Tools = append(answer.Tools, Tool{Name: e.Name, Title: e.Title, State: "listed"})
		}
	}
	if server.PinTools == nil {
		return answer, nil
	}
	answer.Mode = server.PinTools.Mode
	known := site.Pinned(server.ID)
	if err := known.Ready(c.Context(), site.Kept); err != nil {
		return nil, failure(err)
	}
	var states []pins.State
	states, answer.PinnedAt = known.List()
	for i := range states {
		tool := toolOf(&states[i])
		tool.Title = titles[tool.Name]
		answer.Tools = append(answer.Tools, tool)
	}
	return answer, nil
}

func toolOf(s *pins.State) Tool {
	current := s.Current()
	tool := Tool{Name: s.Name, State: "approved", Definitions: len(s.Approved)}
	switch {
	case current == nil:
		tool.State = string(pins.IsNew)
	case len(s.Pending) > 0:
		tool.State = string(pins.Differs)
	}
	if current != nil {
		tool.ApprovedAt, tool.ApprovedBy = current.At, current.By
	}
	for i := range s.Pending {
		d := &s.Pending[i]
		hash, _ := d.Hash.MarshalText() // which never fails
		pending := PendingTool{Hash: string(hash), SeenAt: d.At, Changes: []ToolChange{}}
		for _, change := range pins.Difference(current, d) {
			pending.Changes = append(pending.Changes, ToolChange(change))
		}
		tool.Pending = append(tool.Pending, pending)
	}
	return tool
}

func approveTools(c *call) (any, error) {
	site, err := c.toolsOf()
	if err != nil {
		return nil, err
	}
	server := site.Server.Config().Server(c.query.Get("server")).Configured()
	if server.PinTools == nil {
		return nil, apiError(http.StatusNotFound, "the tools of server "+server.ID+" are not pinned; there is nothing to approve")
	}
	var wanted ApproveTools
	if err := c.read(&wanted, `tools is a list of objects with the name of a tool and the hash of its pending definition`); err != nil {
		return nil, err
	}
	choices := make([]pins.Choice, len(wanted.Tools))
	for i, t := range wanted.Tools {
		choices[i].Tool = t.Name
		if choices[i].Hash.UnmarshalText([]byte(t.Hash)) != nil {
			return nil, apiError(http.StatusBadRequest, "hash is that of a definition under pending, as GET "+ToolsPath+" has it")
		}
	}
	if len(choices) == 0 {
		return nil, apiError(http.StatusBadRequest, "tools names none; list what GET "+ToolsPath+" has under pending")
	}
	err = site.Pinned(server.ID).Approve(c.Context(), site.Kept, choices)
	if errors.Is(err, pins.ErrNothing) {
		return nil, apiError(http.StatusConflict, "one of the definitions does not wait to be approved: the tool may have changed again; look at what there is now")
	}
	if err != nil {
		return nil, failure(err)
	}
	for _, t := range wanted.Tools {
		site.Events.Record(c.Context(), event.Event{Kind: event.ToolApproved, By: event.ByOperator, Server: server.ID, Tool: cmp.Or(t.Name, "-")})
	}
	return ApprovedTools{len(choices)}, nil
}
