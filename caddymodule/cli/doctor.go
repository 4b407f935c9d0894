package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli/adminclient"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor <MCP URL>",
		Short: "Examines an MCP server as its clients meet it",
		Long: `Examines an MCP server, of this site or of anybody, as its clients meet it.

It plays the order in which each known family of clients discovers, registers and signs
in, up to the page that needs a person, and says how far each comes, what is in its way,
which standard says so, and how to mend it. With a token, it goes on to the calls. For
a site of the Caddy that runs here, it adds what was logged.

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
	return reaching(cmd)
}

// reaching adds the flags that say how a server is reached.
func reaching(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	flags.String("ca", "", "a file with the certificate authorities to trust, in PEM, in place of this machine's")
	flags.Bool("insecure", false, "trust any certificate")
	flags.Bool("no-registration", false, "register no clients")
	return cmd
}

// The exit statuses of an examination.
const (
	statusFindings  = 1
	statusUnchecked = 2
)

func examine(i *invocation) error {
	o, err := i.doctorOptions()
	if err != nil {
		return status{statusUnchecked, err}
	}
	ctx, stop := signal.NotifyContext(i.cmd.Context(), os.Interrupt)
	defer stop()
	report := doctor.Examine(ctx, i.args[0], *o)
	i.join(report)
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
func (i *invocation) doctorOptions() (*doctor.Options, error) {
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

// join adds to findings what the site knows of the references that it showed, if it is
// one of the Caddy that runs here. Anybody else's is in no log here.
func (i *invocation) join(report *doctor.Report) {
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
