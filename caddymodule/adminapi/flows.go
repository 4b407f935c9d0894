package adminapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
)

// Paths of what clients and people did lately.
const (
	FlowsPath = "/mcp_oauth/flows"
	WhyPath   = "/mcp_oauth/why"
)

// flowFilters are the parameters that say which flows are meant.
var flowFilters = []parameter{
	{name: "reference", about: "An error reference that somebody was shown, or the id of a flow, grant or connection."},
	{name: "person", about: "Who signed in, as `oidc:alice@example.com`, or what follows a colon."},
	{name: "client", about: "A client_id, or a part of the name or the User-Agent of a client."},
	{name: "server", about: "The id of an MCP server."},
	siteParameter,
}

var flowRoutes = []route{{
	method: http.MethodGet, path: FlowsPath,
	about: "The last ways of clients to MCP servers, from the first request over the sign-in to the calls, the latest first, each with what it came to. " +
		"Kept are the last ones in memory and, of those that failed, some for two weeks.",
	query: append(flowFilters[:len(flowFilters):len(flowFilters)],
		parameter{name: "failed", kind: flagKind, about: "Only those in which something failed."}, limitParameter, afterParameter),
	answer: Flows{}, serve: listFlows,
}, {
	method: http.MethodGet, path: WhyPath,
	about:  "Why something does not work: the flows that are meant, the latest first, each with who is at fault, the evidence, and what to do.",
	query:  append(flowFilters[:len(flowFilters):len(flowFilters)], limitParameter),
	answer: Reasons{}, fails: []int{http.StatusNotFound}, serve: why,
}}

// Flow is what a way of a client to MCP servers came to.
type Flow struct {
	ID         string       `json:"id"`
	Site       string       `json:"site"`
	ClientID   string       `json:"client_id,omitempty"`
	ClientName string       `json:"client_name,omitempty"` // what the client calls itself
	UserAgent  string       `json:"user_agent,omitempty"`
	Address    string       `json:"address,omitempty"`
	Person     string       `json:"person,omitempty"`
	Servers    []string     `json:"servers,omitempty"`
	Began      time.Time    `json:"began"`
	Last       time.Time    `json:"last"`     // when something happened last
	AtFault    faults.Party `json:"at_fault"` // `client`, `provider`, `person`, `operator`, `us`, `nobody` or `unknown`
	Fault      string       `json:"fault"`
	What       string       `json:"what"`
}

// Flows are a page of flows.
type Flows struct {
	Flows []Flow `json:"flows"`
	Next  string `json:"next,omitempty"` // the `after` to go on with; none after the last
}

// Reasons are explained flows.
type Reasons struct {
	Answers []*faults.Answer `json:"answers"`
	// More is how many flows are meant besides.
	More int `json:"more,omitempty"`
}

// findFlows returns the flows that are meant, and all there are.
func findFlows(c *call) (meant, all []*trace.Trace, err error) {
	operator, sites, err := c.at(c.query.Get("site"))
	if err != nil {
		return nil, nil, err
	}
	archives := make([]*trace.Archive, len(sites))
	for i, s := range sites {
		archives[i] = s.Archive
	}
	q := trace.Query{
		Site: c.query.Get("site"), Reference: c.query.Get("reference"), Person: c.query.Get("person"),
		Client: c.query.Get("client"), Server: c.query.Get("server"), Failed: c.is("failed"),
	}
	if all, err = operator.Traces.Find(c.Context(), trace.Query{}, archives...); err != nil {
		return nil, nil, failure(err)
	}
	for _, t := range all {
		if q.Matches(t) {
			meant = append(meant, t)
		}
	}
	return meant, all, c.checkServer(len(meant))
}

func explain(t *trace.Trace, all []*trace.Trace, reference string) *faults.Answer {
	return faults.Explain(&faults.Case{Trace: t, Earlier: trace.Before(t, all), Now: time.Now()}, reference)
}

func listFlows(c *call) (any, error) {
	meant, all, err := findFlows(c)
	if err != nil {
		return nil, err
	}
	if after := c.query.Get("after"); after != "" {
		for i, t := range meant {
			if t.ID == after {
				meant = meant[i+1:]
				break
			}
		}
	}
	page := Flows{Flows: []Flow{}}
	for i, t := range meant {
		if i == c.limit() {
			page.Next = meant[i-1].ID
			break
		}
		a := explain(t, all, c.query.Get("reference"))
		page.Flows = append(page.Flows, Flow{
			ID: t.ID, Site: t.Site, ClientID: t.Client, ClientName: t.ClientName, UserAgent: t.Agent, Address: t.Address, Person: t.Person,
			Servers: t.Servers, Began: t.Began, Last: t.Last, AtFault: a.AtFault, Fault: a.Fault, What: a.What,
		})
	}
	return page, nil
}

// explained is how many flows are explained unless a limit says otherwise.
const explained = 3

func why(c *call) (any, error) {
	if !c.query.Has("reference") && !c.query.Has("person") && !c.query.Has("client") && !c.query.Has("server") {
		return nil, apiError(http.StatusBadRequest, "say what is meant: reference, person, client or server")
	}
	meant, all, err := findFlows(c)
	if err != nil {
		return nil, err
	}
	if len(meant) == 0 {
		return nil, apiError(http.StatusNotFound, unknownFlow(c))
	}
	limit := explained
	if c.query.Has("limit") {
		limit = c.limit()
	}
	reasons := Reasons{More: max(0, len(meant)-limit)}
	for _, t := range meant[:min(len(meant), limit)] {
		reasons.Answers = append(reasons.Answers, explain(t, all, c.query.Get("reference")))
	}
	return reasons, nil
}

// unknownFlow says why there is nothing to explain.
func unknownFlow(c *call) string {
	text := "nothing is known of that"
	if c.query.Has("reference") {
		text = "nothing is known of this reference"
	}
	return text + ": " + strings.Join([]string{
		"what failed is kept for two weeks at most, and what did not fail until Caddy restarts, as long as there is room",
		"another Caddy on the same database knows its own flows, and shares only those that failed, after some seconds",
		"the log may still have it",
	}, "; ")
}
