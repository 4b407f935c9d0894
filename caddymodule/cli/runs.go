package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Tells whether sign-ins and calls can be answered",
		Long: `Tells whether sign-ins and calls can be answered: exits with status 0 if so,
else with 1 and the reason, for the health check of a container.`,
		Args: cobra.NoArgs,
		RunE: runs(health),
	}
}

func health(i *invocation) error {
	answer, err := get[adminapi.Health](i, adminapi.HealthPath, nil)
	if err != nil {
		return err
	}
	t := &table{none: strings.Join(append([]string{answer.Status}, answer.Differences...), "\n")}
	return i.print(answer, t)
}

func openAPICommand() *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Prints what describes the admin API to programs",
		Long:  "Prints the OpenAPI 3.1 document of the admin API that the running Caddy has.",
		Args:  cobra.NoArgs,
		RunE:  runs(printOpenAPI),
	}
}

func printOpenAPI(i *invocation) error {
	document, err := get[json.RawMessage](i, adminapi.DocumentPath, nil)
	if err != nil {
		return err
	}
	return i.printJSON(document)
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Shows what runs: sites, servers, ways to sign in, the store",
		Long: `Shows what runs: the sites of the configuration that serves now, their servers, how
people sign in, and where all is kept, and in what other Caddys on the same database
differ. Exits with status 1 while sign-ins and calls are answered 503.`,
		Args: cobra.NoArgs,
		RunE: runs(showStatus),
	}
}

func showStatus(i *invocation) error {
	answer, err := get[adminapi.Status](i, adminapi.StatusPath, nil)
	if err != nil {
		return err
	}
	i.say("Caddy %s, store %s", answer.Caddy, answer.Store)
	if err := i.print(answer, statusTable(answer)); err != nil {
		return err
	}
	sayDifferences(i, answer.Differences)
	if answer.Failure == "" {
		return nil
	}
	return errors.New("sign-ins and calls are answered 503: " + answer.Failure)
}

// statusTable has a row for each server. Its address is never cut: it is what people
// give their clients.
func statusTable(answer adminapi.Status) *table {
	t := &table{heads: []string{"SITE", "SERVER", "ADDRESS", "ACCOUNTS", "SIGN IN WITH"}, cut: []string{"SITE"}}
	for _, site := range answer.Sites {
		for _, server := range site.Servers {
			t.add(site.URL, server.ID, server.URL, server.Auth, strings.Join(site.SignIn, ", "))
		}
	}
	return t
}

func instancesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "instances",
		Short: "Shows the Caddys that work on the same database, and in what they differ",
		Long: `Shows the Caddys that work on the same database: their versions, since when they run,
when their configuration was loaded, which encryption keys they have. Below it says in
what they differ from the one that is asked, and what to do. During an upgrade, or a
change of the configuration, they differ for a while.`,
		Args: cobra.NoArgs,
		RunE: runs(listInstances),
	}
}

func listInstances(i *invocation) error {
	answer, err := get[instances.Overview](i, adminapi.InstancesPath, nil)
	if err != nil {
		return err
	}
	t, now := &table{
		heads: []string{"INSTANCE", "VERSION", "STARTED", "CONFIGURED", "SEEN", "CLOCK", "ENCRYPTION KEYS"}, cut: []string{"ENCRYPTION KEYS"},
		none: "Only one Caddy can work on this store.",
	}, time.Now()
	for _, in := range answer.Instances {
		id, clock := in.ID, "right"
		if in.This {
			id += " (this)"
		}
		if in.ClockAhead != 0 {
			clock = fmt.Sprintf("%+d s", in.ClockAhead)
		}
		t.add(id, in.Version, when(in.StartedAt, now), when(in.ConfiguredAt, now), when(in.SeenAt, now), clock, strings.Join(in.EncryptionKeys, ", "))
	}
	if err := i.print(answer, t); err != nil {
		return err
	}
	sayDifferences(i, answer.Different)
	return nil
}

func sayDifferences(i *invocation, all []instances.Difference) {
	for _, d := range all {
		i.say("")
		i.say("Since %s: %s. %s", when(d.Since, time.Now()), d.Text, d.Fix)
	}
}

func signingKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signing-keys",
		Short: "Lists the keys that the sites sign with",
		Long:  "Lists the keys that the sites sign with and publish at /.well-known/jwks.json, without what signs.",
		Args:  cobra.NoArgs,
		RunE:  runs(listSigningKeys),
	}
	cmd.PersistentFlags().String("site", "", "the public URL of one site")
	cmd.AddCommand(confirmable(&cobra.Command{
		Use:   "renew",
		Short: "Replaces them at once, for keys that leaked",
		Long: `Has new keys made in place of all, for keys that leaked. Whatever the ones before
signed is refused from then on by whoever verifies it.`,
		Args: cobra.NoArgs,
		RunE: runs(renewSigningKeys),
	}))
	return cmd
}

func listSigningKeys(i *invocation) error {
	answer, err := get[adminapi.SigningKeys](i, adminapi.SigningKeysPath, i.query("site"))
	if err != nil {
		return err
	}
	return printSigningKeys(i, answer)
}

func renewSigningKeys(i *invocation) error {
	whose := "all sites"
	if i.text("site") != "" {
		whose = i.text("site")
	}
	if err := i.confirm("This replaces the signing keys of %s: what they signed is refused from then on.", whose); err != nil {
		return err
	}
	answer, err := send[adminapi.SigningKeys](i, http.MethodDelete, adminapi.SigningKeysPath, i.query("site"), nil)
	if err != nil {
		return err
	}
	return printSigningKeys(i, answer)
}

func printSigningKeys(i *invocation, answer adminapi.SigningKeys) error {
	t, now := &table{heads: []string{"SITE", "KEY ID", "ALGORITHM", "SIGNS FROM", "PUBLISHED UNTIL"}, none: "The sites sign nothing."}, time.Now()
	for _, k := range answer.SigningKeys {
		t.add(k.Site, k.KeyID, k.Algorithm, when(k.SignsFrom, now), when(k.PublishedUntil, now))
	}
	return i.print(answer, t)
}

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
