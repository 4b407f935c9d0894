package headers

import (
	"net/http"
	"testing"
)

// What an operator lets in passes, but never in place of what the site sets.
func TestPassHeaders(t *testing.T) {
	for name, test := range map[string]struct {
		more, ours []string
		sent       string
		want       bool
	}{
		"not named":                        {sent: "X-Toolset"},
		"named":                            {more: []string{"x-toolset"}, sent: "X-Toolset", want: true},
		"named, another spelling":          {more: []string{"X-Toolset"}, sent: "X_toolset"},
		"prefix":                           {more: []string{"x-custom-*"}, sent: "X-Custom-Anything", want: true},
		"prefix alone":                     {more: []string{"X-Custom-*"}, sent: "X-Custom"},
		"ours":                             {ours: []string{"X-MCP-User"}, sent: "X-Mcp-User"},
		"ours within a prefix":             {more: []string{"X-MCP-*"}, ours: []string{"X-MCP-User"}, sent: "X-Mcp-User"},
		"ours, folded, within a prefix":    {more: []string{"X-MCP*"}, ours: []string{"X_MCP_User"}, sent: "X-Mcp-User"},
		"ours, respelled, within a prefix": {more: []string{"X-MCP-*"}, ours: []string{"X-MCP-User.Id"}, sent: "X-Mcp-User~Id"},
		"beside ours":                      {more: []string{"X-MCP-*"}, ours: []string{"X-MCP-User"}, sent: "X-Mcp-Toolset", want: true},
		"a known name that is ours":        {ours: []string{"Baggage"}, sent: "Baggage"},
		"a known name, respelled":          {more: []string{"Last_*"}, sent: "Last_event_id"},
		"of MCP":                           {sent: "Mcp-Param-Region", want: true},
		"of MCP, respelled":                {sent: "Mcp-Session_id"},
		"of MCP, respelled at its start":   {sent: "Mcp_session_id"},
		"of MCP, respelled further on":     {sent: "Mcp-Param_region"},
		"of MCP, respelled with a dot":     {sent: "Mcp-Param.region"},
		"of MCP, respelled otherwise":      {sent: "Mcp-Param~region"},
		"of MCP, but ours":                 {ours: []string{"Mcp-Tenant"}, sent: "Mcp-Tenant"},
		"of another proxy, about a replay": {sent: "Early-Data", want: true},
		"credential":                       {sent: "Authorization"},
		"respelled credential":             {sent: "Proxy_authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{test.sent: {"x"}}
			NewFilter(test.more, test.ours).Strip(h)
			if _, got := h[test.sent]; got != test.want {
				t.Errorf("%s passes: %v, want %v", test.sent, got, test.want)
			}
		})
	}
}
