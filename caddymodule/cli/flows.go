package cli

import (
	"cmp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// flowFilters are the flags that say which flows are meant.
var flowFilters = []string{"person", "client", "server", "site"}

// addFlowFilters adds the flags to a command.
func addFlowFilters(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	flags.String("person", "", "who signed in, as oidc:alice@example.com, or what follows a colon")
	flags.String("client", "", "a client_id, or a part of the name or User-Agent of a client")
	serverFlag(cmd, "the id of an MCP server")
	flags.String("site", "", "the public URL of one site")
	return cmd
}

func flowsCommand() *cobra.Command {
	cmd := addFlowFilters(&cobra.Command{
		Use:   "flows",
		Short: "Lists what clients did lately, and what it came to",
		Long: `Lists the last ways of clients to MCP servers, the latest first: from the first
request over the sign-in to the calls. Each says what it came to, and who is at
fault if something failed. For one of them, caddy mcp-oauth why <id> tells the steps.`,
		Args: cobra.NoArgs,
		RunE: runs(listFlows),
	})
	cmd.Flags().Bool("failed", false, "only those in which something failed")
	cmd.Flags().String("limit", "", "how many at most, up to 1000")
	cmd.Flags().String("after", "", "the id of the last one of the page before")
	return cmd
}

func listFlows(i *invocation) error {
	answer, err := get[adminapi.Flows](i, adminapi.FlowsPath, i.query(append([]string{"failed", "limit", "after"}, flowFilters...)...))
	if err != nil {
		return err
	}
	t := &table{
		heads: []string{"LAST", "CLIENT", "PERSON", "SERVERS", "AT FAULT", "WHAT", "ID"}, cut: []string{"CLIENT", "WHAT"},
		none: "Nothing was recorded that this means.",
	}
	now := time.Now()
	for _, f := range answer.Flows {
		t.add(when(f.Last, now), cmp.Or(f.ClientName, f.UserAgent, f.ClientID, f.Address), f.Person, strings.Join(f.Servers, ", "), string(f.AtFault), f.What, f.ID)
	}
	if err := i.print(answer, t); err != nil {
		return err
	}
	if answer.Next != "" {
		i.say("There are more: add --after %s", answer.Next)
	}
	return nil
}
