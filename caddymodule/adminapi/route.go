package adminapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// route is one thing an operator can ask for, and all that there is to know of it:
// requests are answered by these rows, unknown parameters are told from known ones
// by them, and openapi.json and docs/admin-api.md are made from them.
type route struct {
	method string
	path   string // a part in braces stands for anything: /mcp_oauth/grants/{id}
	// about says what is answered or done, in a sentence or a few.
	about string
	query []parameter
	body  any // a value of the type of the JSON that is sent; nil if none is
	// answer is a value of the type of the JSON that is answered.
	answer any
	status int // of success; 0 means 200
	// fails are the statuses of failures beside those of a wrong parameter and of
	// a store that is not open.
	fails []int
	serve func(*call) (any, error)
}

// routes are all there is. Each resource has its rows beside what they do.
func routes() []route {
	return slices.Concat(
		healthRoutes,
		statusRoutes,
		clientRoutes,
		connectionRoutes,
		registrationRoutes,
		grantRoutes,
		personRoutes,
		accessRoutes,
		toolRoutes,
		keyRoutes,
		initialTokenRoutes,
		signingKeyRoutes,
		storedRoutes,
		flowRoutes,
		documentRoutes,
	)
}

// match returns what the braces of the path stand for in one that is asked for.
func (r *route) match(parts []string) (map[string]string, bool) {
	pattern := strings.Split(r.path, "/")
	if len(pattern) != len(parts) {
		return nil, false
	}
	named := map[string]string{}
	for i, part := range pattern {
		if name, isName := strings.CutPrefix(part, "{"); isName {
			named[strings.TrimSuffix(name, "}")] = parts[i]
		} else if part != parts[i] {
			return nil, false
		}
	}
	return named, true
}

// find returns the route that is asked for.
func find(r *http.Request) (*route, map[string]string, error) {
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil {
			return nil, nil, apiError(http.StatusBadRequest, "the path is not escaped as a URL is")
		}
		parts[i] = text
	}
	all := routes()
	var methods []string
	for i := range all {
		named, matches := all[i].match(parts)
		switch {
		case matches && all[i].method == r.Method:
			return &all[i], named, nil
		case matches:
			methods = append(methods, all[i].method)
		}
	}
	if len(methods) > 0 {
		return nil, nil, apiError(http.StatusMethodNotAllowed, "use "+strings.Join(methods, " or "))
	}
	return nil, nil, apiError(http.StatusNotFound, "nothing is at this path; use "+strings.Join(near(all, parts), ", "))
}

// near returns the methods and paths of the same resource or, if there is no such
// resource, where all of them are told.
func near(all []route, parts []string) (list []string) {
	const resource = 2 // of "", "mcp_oauth", "grants"
	for _, r := range all {
		if pattern := strings.Split(r.path, "/"); len(parts) > resource && parts[1] == pattern[1] && parts[resource] == pattern[resource] {
			list = append(list, r.method+" "+r.path)
		}
	}
	if list == nil {
		list = []string{"one of those that GET " + DocumentPath + " lists"}
	}
	return list
}
