package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
)

func addCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add <MCP URL>",
		Short: "Prints what to write in a Caddyfile for an MCP server",
		Long: `Looks at an MCP server and prints the block that puts it behind a site, for the
mcp_oauth block of a Caddyfile: whether people connect accounts of their own there, by
which options its provider is found, and whether you have to register an application.

It changes nothing, here or there. The exit status is 0 if the block can be used as it
is, 1 if there is something to do besides, which the standard error says, and 2 if there
is no block because the server could not be looked at or cannot be put behind a site.`,
		Example: `  caddy mcp-oauth add https://mcp.notion.com/mcp
  caddy mcp-oauth add http://127.0.0.1:3001/mcp --name wiki`,
		Args: cobra.ExactArgs(1),
		RunE: runs(suggest),
	}
	flags := cmd.Flags()
	flags.String("name", "", "the id of the server (default: from its address)")
	flags.String("path", "", "its path on your site (default: /<id>/mcp)")
	flags.String("ca", "", "a file with the certificate authorities to trust, in PEM, in place of this machine's")
	flags.Bool("insecure", false, "trust any certificate")
	return cmd
}

func suggest(i *invocation) error {
	o, err := i.doctorOptions()
	if err != nil {
		return status{statusUnchecked, err}
	}
	o.NoRegistration = true
	report := doctor.Examine(i.cmd.Context(), i.args[0], *o)
	s, err := report.Suggest(i.cmd.Context(), *o, doctor.Names{ID: i.text("name"), Path: i.text("path")})
	if s == nil {
		return status{statusUnchecked, err}
	}
	if i.is("json") {
		if err := i.printJSON(s); err != nil {
			return status{statusUnchecked, err}
		}
	} else if _, err := fmt.Fprint(i.cmd.OutOrStdout(), s.Block); err != nil {
		return status{statusUnchecked, err}
	}
	for _, need := range s.Needs {
		i.cmd.PrintErrln(clean(need))
	}
	if err != nil {
		return status{statusFindings, fmt.Errorf("this site would not find the provider: %s", clean(err.Error()))}
	}
	if len(s.Needs) > 0 {
		return status{code: statusFindings}
	}
	return nil
}
