package cli

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli/adminclient"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor <MCP URL>",
		Short: "Examines an MCP server as its clients meet it",
		Long: `Examines an MCP server, of this site or of anybody, as its clients meet it.

It plays the order in which each known family of clients discovers, registers and signs
in, up to the page that needs a person, and says how far each comes, what is in its way,
which standard says so, and how to mend it. With a token, it goes on to the calls. For
a site of the Caddy that runs here, it adds what was logged, and in what the Caddys that
serve it differ.

It needs no running Caddy, and leaves nothing behind that the server lets it take back:
clients that it registers are deleted again, and those that cannot be are named.

The exit status is 0 if all is well, 1 if something was found, and 2 if the server
could not be checked.`,
		Example: `  caddy mcp-oauth doctor https://mcp.example.com/wiki/mcp
  caddy mcp-oauth doctor https://mcp.example.com/wiki/mcp --token {env.ALICE_KEY}
  caddy mcp-oauth doctor https://localhost:8443/mcp --ca root.crt --steps`,
		Args: cobra.ExactArgs(1),
		RunE: runs(examine),
	}
	flags := cmd.Flags()
	flags.Bool("steps", false, "print what each client does")
	flags.String("token", "", "an access token or virtual key, for calls; a placeholder such as {env.KEY} or {file./run/key} keeps it out of the list of processes")
	flags.String("client-id", "", "a client ID that is registered there, for clients that are configured with one")
	flags.String("client-secret", "", "its secret, or a placeholder")
	flags.String("client-document", "", "a client ID metadata document to use in place of those of Claude Code and Claude")
	flags.String("redirect-uri", "", "the redirect URI of --client-id or --client-document")
	flags.Bool("no-registration", false, "register no clients")
	return reaching(cmd)
}

// reaching adds the flags that say how a server is reached.
func reaching(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	flags.String("ca", "", "a file with the certificate authorities to trust, in PEM, in place of this machine's")
	flags.Bool("insecure", false, "trust any certificate")
	return cmd
}

// The exit statuses of an examination.
const (
	statusFindings  = 1
	statusUnchecked = 2
)

func examine(i *invocation) error {
	o, err := doctorOptions(i)
	if err != nil {
		return status{statusUnchecked, err}
	}
	ctx, stop := signal.NotifyContext(i.cmd.Context(), os.Interrupt)
	defer stop()
	report := doctor.Examine(ctx, i.args[0], *o)
	joinLogged(i, report)
	joinDifferences(i, report)
	if i.is("json") {
		err = i.printJSON(report)
	} else {
		err = report.Print(i.cmd.OutOrStdout(), i.is("steps"))
	}
	switch {
	case err != nil:
		return status{statusUnchecked, err}
	case report.Outcome == doctor.Findings:
		return status{code: statusFindings}
	case report.Outcome == doctor.Unchecked:
		return status{code: statusUnchecked}
	}
	return nil
}

// doctorOptions returns what the flags say.
func doctorOptions(i *invocation) (*doctor.Options, error) {
	o := &doctor.Options{Insecure: i.is("insecure"), NoRegistration: i.is("no-registration")}
	for flag, value := range map[string]*string{
		"token": &o.Token, "client-id": &o.ClientID, "client-secret": &o.ClientSecret,
		"client-document": &o.ClientDocument, "redirect-uri": &o.Redirect,
	} {
		text, err := caddy.NewReplacer().ReplaceOrErr(i.text(flag), true, true)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		*value = text
	}
	file := i.text("ca")
	if file == "" {
		return o, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	o.RootCAs = x509.NewCertPool()
	if !o.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca: %s has no certificate in PEM", file)
	}
	return o, nil
}

// joinLogged adds to findings what the site knows of the references that it showed, if
// it is one of the Caddy that runs here. Anybody else's is in no log here.
func joinLogged(i *invocation, report *doctor.Report) {
	for n := range report.Findings {
		f := &report.Findings[n]
		for _, reference := range f.References {
			found, err := get[adminapi.Reasons](i, adminapi.WhyPath, url.Values{"reference": {reference}})
			var unknown *adminclient.Refusal
			if errors.As(err, &unknown) {
				continue
			}
			if err != nil {
				return
			}
			for _, a := range found.Answers {
				f.Log(a.What, "At fault: "+parties[a.AtFault]+".", a.Why, a.Fix)
			}
		}
	}
}

// joinDifferences adds in what the Caddys on the database of a site differ, where it has
// lasted, if the site is one of the Caddy that runs here.
func joinDifferences(i *invocation, report *doctor.Report) {
	running, err := get[adminapi.Status](i, adminapi.StatusPath, nil)
	if err != nil {
		return
	}
	own := slices.ContainsFunc(running.Sites, func(site adminapi.SiteStatus) bool {
		return slices.ContainsFunc(site.Servers, func(s adminapi.ServerStatus) bool { return sameServer(s.URL, report.URL) })
	})
	for _, d := range running.Differences {
		if own && d.Lasts(time.Now()) {
			report.Differ(d.Text, d.Fix)
		}
	}
}

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
	return reaching(cmd)
}

func suggest(i *invocation) error {
	o, err := doctorOptions(i)
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
