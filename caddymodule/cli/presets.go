package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

func presetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "presets [<name>]",
		Short: "Lists the services that one word in a Caddyfile is enough for",
		Long: `Lists the services that one word in a Caddyfile is enough for: "server notion" in the
mcp_oauth block puts Notion's MCP server at /notion/mcp, where each person connects
their own account. Any option of a server can follow in its block, and wins.

Where APPLICATION has an address, the service takes registered applications only:
register one there, and set its client_id and client_secret in auth per_user_oauth.

This needs no running Caddy.`,
		Example: `  caddy mcp-oauth presets
  caddy mcp-oauth presets github --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(listPresets),
	}
}

func listPresets(i *invocation) error {
	all := presets.All()
	if len(i.args) == 1 {
		p := presets.Find(i.args[0])
		if p == nil {
			return fmt.Errorf("no preset has the name %q; without a name, all are listed", i.args[0])
		}
		all = []presets.Preset{*p}
	}
	t := &table{heads: []string{"NAME", "URL", "APPLICATION", "NOTE"}, cut: []string{"NOTE"}}
	for _, p := range all {
		t.add(p.Name, p.URL, p.Application, p.Note)
	}
	return i.print(all, t)
}
