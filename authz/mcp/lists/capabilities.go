package lists

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

// withoutUnusable returns what a server says that it can, without that of which the
// caller may use nothing. What cannot be read is nothing.
func withoutUnusable(capabilities []byte, policy Policy) []byte {
	var all map[string]json.RawMessage
	if json.Unmarshal(capabilities, &all) != nil {
		return []byte(`{}`)
	}
	nothing := func(kinds ...access.Kind) bool {
		return !slices.ContainsFunc(kinds, func(k access.Kind) bool { return !policy.Nothing(k) })
	}
	before := len(all)
	for name, unusable := range map[string]bool{
		"tools":       nothing(access.Tool),
		"resources":   nothing(access.Resource, access.ResourceTemplate),
		"prompts":     nothing(access.Prompt),
		"completions": nothing(access.Prompt, access.ResourceTemplate),
	} {
		if unusable {
			delete(all, name)
		}
	}
	if len(all) == before {
		return capabilities
	}
	rest, _ := json.Marshal(all) // parts of what was read
	return rest
}

// endCapabilities passes on what a server can, of which these are the last bytes.
func (f *Filter) endCapabilities(last []byte) {
	all := last
	if len(f.held) > 0 {
		f.held = append(f.held, last...)
		all = f.held
	}
	f.out = append(f.out, withoutUnusable(bytes.Clone(all), f.policy)...)
}
