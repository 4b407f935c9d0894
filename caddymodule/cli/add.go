package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

func addCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add <MCP URL>|<preset>",
		Short: "Prints what to write in a Caddyfile for an MCP server",
		Long: `Looks at an MCP server and prints the block that puts it behind a site, for the
mcp_oauth block of a Caddyfile: whether people connect accounts of their own there, by
which options its provider is found, and whether you have to register an application.
For a service that has a preset, also by its name, that is used and nobody is asked.

It changes nothing, here or there. The exit status is 0 if the block can be used as it
is, 1 if there is something to do besides, which the standard error says, and 2 if there
is no block because the server could not be looked at or cannot be put behind a site.`,
		Example: `  caddy mcp-oauth add https://mcp.notion.com/mcp
  caddy mcp-oauth add github
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
	names := doctor.Names{ID: i.text("name"), Path: i.text("path")}
	s := ofPreset(i.args[0], names)
	if s == nil {
		o.NoRegistration = true
		report := doctor.Examine(i.cmd.Context(), i.args[0], *o)
		s, err = report.Suggest(i.cmd.Context(), *o, names)
	}
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

// ofPreset returns what to write for a service that has a preset, by its name or URL,
// or nil.
func ofPreset(argument string, names doctor.Names) *doctor.Suggestion {
	all := presets.All()
	at := slices.IndexFunc(all, func(p presets.Preset) bool { return p.Name == argument || sameServer(p.URL, argument) })
	if at < 0 {
		return nil
	}
	p := all[at]
	s := &doctor.Suggestion{ID: cmp.Or(names.ID, p.Name), Auth: "per_user_oauth", Needs: []string{}}
	s.Path = cmp.Or(names.Path, "/"+s.ID+"/mcp")
	line := "server " + s.ID
	switch {
	case s.ID != p.Name:
		line += " " + s.Path + " " + p.Name
	case names.Path != "":
		line += " " + s.Path
	}
	s.Block = line + "\n"
	if p.Application != "" {
		variable := strings.ToUpper(strings.ReplaceAll(s.ID, "-", "_"))
		s.Block = fmt.Sprintf("%s {\n\t# Register an application at %s\n\tauth per_user_oauth {\n\t\tclient_id {env.%s_CLIENT_ID}\n\t\tclient_secret {env.%s_CLIENT_SECRET}\n\t}\n}\n", line, p.Application, variable, variable)
		s.Needs = append(s.Needs, fmt.Sprintf("Register an application at %s, with your site's address and %s/%s as its callback URL, and give Caddy %s_CLIENT_ID and %s_CLIENT_SECRET in the environment.",
			p.Application, config.SharedCallbackPath, s.ID, variable, variable))
	}
	if p.Note != "" {
		s.Block = "# " + p.Note + "\n" + s.Block
	}
	return s
}

func sameServer(a, b string) bool {
	one, ok := oauth.CanonicalResource(a)
	other, valid := oauth.CanonicalResource(b)
	return ok && valid && one == other
}
