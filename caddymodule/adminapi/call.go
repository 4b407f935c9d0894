package adminapi

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// call is one request to a route. Its query has what the route knows of, as it
// should be.
type call struct {
	API
	*http.Request
	named map[string]string // what the braces of the path stand for
	query url.Values
}

// limit returns how many entries a page shall have.
func (c *call) limit() int {
	if limit, err := strconv.Atoi(c.query.Get("limit")); err == nil {
		return limit
	}
	return defaultLimit
}

// is reports whether a flag is set.
func (c *call) is(flag string) bool { return c.query.Get(flag) == "true" }

// Failure is the answer when something was not done.
type Failure struct {
	Error string `json:"error"` // what is wrong, and what to do about it
}

const maxBody = 64 << 10

// read reads the JSON that was sent, which may be left out. The type is asked for,
// so that no web page can send it without being asked first. types says of which
// types its members are, for an error.
func (c *call) read(to any, types string) error {
	if kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type")); kind != "application/json" {
		return apiError(http.StatusUnsupportedMediaType, "send JSON, with the header Content-Type: application/json")
	}
	body, err := io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	if err != nil {
		return apiError(http.StatusBadRequest, "the request could not be read")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := strictjson.Check(body, maxBody); err != nil {
		return apiError(http.StatusBadRequest, "send one JSON object, each member once")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(to)
	if err == nil {
		return nil
	}
	// What is wrong is said without the values.
	if text, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return apiError(http.StatusBadRequest, "there is no member "+text+"; use "+members(to))
	}
	return apiError(http.StatusBadRequest, "a member has the wrong type; "+types)
}

// members lists the members of a request's JSON.
func members(of any) string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of).Elem()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// parameter is one of a query.
type parameter struct {
	name     string
	kind     kind
	about    string
	required bool
	choices  []string // of a choice
}

// kind is what can be the value of a parameter.
type kind int

const (
	textKind  kind = iota
	flagKind       // true or false
	countKind      // from 1 to maxLimit
	choiceKind
	placeKind // where a page ended: of an answer, or empty
)

// How many entries a page has.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Parameters of several routes.
var (
	siteParameter    = parameter{name: "site", about: "The public URL of the site that is meant. Default: all, or the only one."}
	subjectParameter = parameter{name: "subject", about: "Who, as `virtual_key:alice`."}
	serverParameter  = parameter{name: "server", about: "The id of an MCP server behind the site."}
	clientParameter  = parameter{name: "client", about: "The client ID of an application."}
	limitParameter   = parameter{name: "limit", kind: countKind, about: "How many entries at most."}
	afterParameter   = parameter{name: "after", kind: placeKind, about: "The `next` of the answer before, to go on where it ended."}
)

// queryOf returns the query of a request, which has no other parameters than those
// of its route, each once.
func (r *route) queryOf(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, apiError(http.StatusBadRequest, "the query is malformed")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		i := slices.IndexFunc(r.query, func(p parameter) bool { return p.name == name })
		if i < 0 {
			return nil, apiError(http.StatusBadRequest, "there is no parameter "+strconv.Quote(name)+"; "+r.parameters())
		}
		if len(query[name]) > 1 {
			return nil, apiError(http.StatusBadRequest, name+" is there twice")
		}
		if wrong := r.query[i].check(query.Get(name)); wrong != "" {
			return nil, apiError(http.StatusBadRequest, wrong)
		}
	}
	for _, p := range r.query {
		if p.required && !query.Has(p.name) {
			return nil, apiError(http.StatusBadRequest, "the parameter "+p.name+" is missing: "+p.about)
		}
	}
	return query, nil
}

// parameters says which there are.
func (r *route) parameters() string {
	if len(r.query) == 0 {
		return r.method + " " + r.path + " has none"
	}
	names := make([]string, len(r.query))
	for i, p := range r.query {
		names[i] = p.name
	}
	return "use one of: " + strings.Join(names, ", ")
}

// check returns what is wrong with a value, or nothing.
func (p *parameter) check(value string) string {
	switch p.kind {
	case placeKind:
		return ""
	case flagKind:
		if value != "true" && value != "false" {
			return p.name + " is true or false"
		}
	case countKind:
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > maxLimit {
			return p.name + " is a number from 1 to " + strconv.Itoa(maxLimit)
		}
	case choiceKind:
		if !slices.Contains(p.choices, value) {
			return p.name + " is one of: " + strings.Join(p.choices, ", ")
		}
	}
	if value == "" {
		return p.name + " is empty; leave it out, or say which"
	}
	return ""
}
