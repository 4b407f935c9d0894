package adminapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

const (
	connectionsPath   = "/mcp_oauth/connections"
	registrationsPath = "/mcp_oauth/registrations"
	grantsPath        = "/mcp_oauth/grants"
	signingKeysPath   = "/mcp_oauth/signing_keys"
	peoplePath        = "/mcp_oauth/people"
	keysPath          = "/mcp_oauth/keys"
	aliasPath         = "/api/oauth/config"
	// HealthPath is where operators and their tools ask whether sign-ins and calls
	// can be answered.
	HealthPath = "/mcp_oauth/health"
)

// API lets an operator see and end what people approved and connected,
// and connect what everybody shares, on Caddy's admin endpoint:
//
//	GET    /mcp_oauth/connections                  all connections
//	GET    /mcp_oauth/connections/{id}/status      one of them; a shared one also by the id of its server
//	DELETE /mcp_oauth/connections/{id}             ends it, here and at the provider
//	GET    /api/oauth/config/{id}/status           the same under another name
//	DELETE /api/oauth/config/{id}                  the same under another name
//	POST   /mcp_oauth/connections/{server}/start   returns the URL on which an operator connects a server with `auth oauth`
//	GET    /mcp_oauth/registrations                what this site registered itself as at providers
//	DELETE /mcp_oauth/registrations/{server}       has the next person who connects the server get a new registration
//	GET    /mcp_oauth/signing_keys                 the keys that are published at `/.well-known/jwks.json`
//	DELETE /mcp_oauth/signing_keys                 has a new one made in place of all, at all sites or with site={public URL} at one: for keys that leaked
//	GET    /mcp_oauth/grants                       valid grants, by id: at most `limit` (1 to 1000, default 100) behind `after`; `next` is where to go on
//	GET    /mcp_oauth/grants?subject={subject}     all grants of a person, such as `virtual_key:alice`
//	DELETE /mcp_oauth/grants/{id}                  ends one, with all its tokens
//	DELETE /mcp_oauth/grants?subject={subject}     ends all grants of a person, at all sites of the configuration
//	GET    /mcp_oauth/health                       200 while sign-ins and calls can be answered, else 503 with the reason
//	DELETE /mcp_oauth/people?subject={subject}     ends all that a person has there: grants, browser sessions, what they began; with connections=true also their connections
//	GET    /mcp_oauth/keys                         virtual keys, by site and name, with their last use; at one `site`, at most `limit` behind `after`
//	POST   /mcp_oauth/keys                         makes one and shows it once: {"name": "alice", "servers": ["wiki"], "expires_in": "90d"}
//	GET    /mcp_oauth/keys/{name}                  one of them
//	PATCH  /mcp_oauth/keys/{name}                  changes servers, expires_at or expires_in, disabled
//	POST   /mcp_oauth/keys/{name}/rotate           makes its successor and shows it once; the one before stays good for `overlap` (24h)
//	DELETE /mcp_oauth/keys/{name}                  ends it and what was approved with it; with connections=true also its person's connections
//
// Requests about keys are JSON; `site` says which site is meant where several
// could be. What they do not know is an error. A status of a connection is `authorized`, `pending` (its person has not finished signing in,
// or the operator connecting what was started), `needs_reauth`, `expired` (it
// needs reauthorization only because it came without a way to renew it),
// `failed` (the provider refused what was started, or the answer to a renewal
// was lost) or `revoked` (for a day, while this process runs). Credentials are
// never shown.
type API struct {
	// Active returns the operator of the configuration that serves now, or nil if
	// there is none. With open, the store is opened before, unless it is open. It is
	// asked for each request: a failed reload leaves the admin API of a configuration
	// behind that never served.
	Active func(open bool) *Operator `json:"-"`
}

// CaddyModule returns the Caddy module information.
func (a API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.mcp_oauth", New: func() caddy.Module { return &API{a.Active} }}
}

// Routes implements caddy.AdminRouter.
func (a API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: connectionsPath, Handler: caddy.AdminHandlerFunc(a.listConnections)},
		{Pattern: connectionsPath + "/", Handler: caddy.AdminHandlerFunc(a.oneConnection)},
		{Pattern: registrationsPath, Handler: caddy.AdminHandlerFunc(a.listRegistrations)},
		{Pattern: registrationsPath + "/", Handler: caddy.AdminHandlerFunc(a.dropRegistration)},
		{Pattern: aliasPath + "/", Handler: caddy.AdminHandlerFunc(a.aliasOfConnection)},
		{Pattern: grantsPath, Handler: caddy.AdminHandlerFunc(a.manyGrants)},
		{Pattern: grantsPath + "/", Handler: caddy.AdminHandlerFunc(a.oneGrant)},
		{Pattern: HealthPath, Handler: caddy.AdminHandlerFunc(a.showHealth)},
		{Pattern: signingKeysPath, Handler: caddy.AdminHandlerFunc(a.signingKeys)},
		{Pattern: keysPath, Handler: caddy.AdminHandlerFunc(a.manyKeys)},
		{Pattern: keysPath + "/", Handler: caddy.AdminHandlerFunc(a.oneKey)},
		{Pattern: peoplePath, Handler: caddy.AdminHandlerFunc(a.endPerson)},
	}
}

// showHealth answers 200 while the store is open, and 503 with the reason while
// the sites answer 503 too.
func (a API) showHealth(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return apiError(http.StatusMethodNotAllowed, "use GET")
	}
	operator := a.Active(false)
	if operator == nil {
		return apiError(http.StatusServiceUnavailable, "no site with mcp_oauth is configured")
	}
	if operator.Failure != nil {
		return apiError(http.StatusServiceUnavailable, operator.Failure.Error())
	}
	return writeJSON(w, map[string]string{"status": "ok"})
}

// opened returns the operator once the store is open. Its errors are for the
// operator.
func (a API) opened() (*Operator, error) {
	operator := a.Active(true)
	if operator == nil {
		return nil, apiError(http.StatusNotFound, "no site has mcp_oauth")
	}
	if operator.Failure != nil {
		return nil, failure(operator.Failure)
	}
	return operator, nil
}

// connecting returns the sites that connect anything.
func (a API) connecting() (sites []*Site) {
	if operator := a.Active(false); operator != nil {
		for _, s := range operator.Sites {
			if s.Accounts != nil {
				sites = append(sites, s)
			}
		}
	}
	return sites
}

// sitesNamed returns the site with the public URL, or all.
func (a API) sitesNamed(issuer string) ([]*Site, error) {
	operator, err := a.opened()
	if err != nil {
		return nil, err
	}
	if issuer == "" {
		return operator.Sites, nil
	}
	i := slices.IndexFunc(operator.Sites, func(s *Site) bool { return s.Issuer == issuer })
	if i < 0 {
		return nil, apiError(http.StatusNotFound, "there is no site "+strconv.Quote(issuer)+"; use the public URL of one of: "+strings.Join(issuersOf(operator.Sites), ", "))
	}
	return operator.Sites[i : i+1], nil
}

func issuersOf(sites []*Site) []string {
	issuers := make([]string, len(sites))
	for i, s := range sites {
		issuers[i] = s.Issuer
	}
	return issuers
}

// queryOf returns the query of a request, which has no other parameters than
// these, each once.
func queryOf(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, apiError(http.StatusBadRequest, "the query is malformed")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return nil, apiError(http.StatusBadRequest, "there is no parameter "+strconv.Quote(name)+"; use one of: "+strings.Join(known, ", "))
		}
		if len(query[name]) > 1 {
			return nil, apiError(http.StatusBadRequest, name+" is there twice")
		}
	}
	return query, nil
}

// limitIn returns how many entries a listing shall have.
func limitIn(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, apiError(http.StatusBadRequest, "limit is a number from 1 to 1000")
	}
	return limit, nil
}

func apiError(status int, text string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(text)}
}

func failure(err error) error {
	if errors.Is(err, accounts.ErrUnknownConnection) {
		return apiError(http.StatusNotFound, "no such connection")
	}
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}

var _ caddy.AdminRouter = API{}
