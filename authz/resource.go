package authz

import (
	"net/url"
	"slices"
	"strings"
)

const maxResourceBytes = 2048

var errUnknownResource = fail("invalid_target", "The requested resource is not one of this server's.")

// canonicalResource returns the one spelling of a resource indicator (RFC 8707
// section 2) that is stored and compared: scheme and host in lower case, no
// default port, no slash at the end of the path. Everything else stays as it
// is, byte for byte. It reports false for what cannot be a resource.
func canonicalResource(s string) (string, bool) {
	if len(s) > maxResourceBytes || strings.Contains(s, "#") {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	var defaultPort string
	switch u.Scheme { // in lower case already
	case "https":
		defaultPort = ":443"
	case "http":
		defaultPort = ":80"
	default:
		return "", false
	}
	_, rest, _ := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	path := rest[end:]
	if !strings.Contains(path, "?") {
		path = strings.TrimSuffix(path, "/")
	}
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), defaultPort) + path, true
}

// serversByResource indexes the servers under the canonical spelling.
func serversByResource(servers []Server) map[string]*Server {
	index := make(map[string]*Server, len(servers))
	for i := range servers {
		if key, ok := canonicalResource(servers[i].Resource); ok {
			index[key] = &servers[i]
		}
	}
	return index
}

// resolveResources returns the identifiers of the servers that the resource
// parameters name, each once.
func (as *AuthorizationServer) resolveResources(requested []string) ([]string, error) {
	var resources []string
	for _, s := range requested {
		if s == "" {
			continue
		}
		key, ok := canonicalResource(s)
		if !ok {
			return nil, fail("invalid_target", "The requested resource is malformed.")
		}
		server := as.byResource[key]
		if server == nil {
			return nil, errUnknownResource
		}
		if !slices.Contains(resources, server.Resource) {
			resources = append(resources, server.Resource)
		}
	}
	return resources, nil
}

// serversOf returns the configured servers among the resources.
func (as *AuthorizationServer) serversOf(resources []string) []Server {
	var servers []Server
	for _, s := range as.cfg.Servers {
		if slices.Contains(resources, s.Resource) {
			servers = append(servers, s)
		}
	}
	return servers
}
