package cli

import (
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

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
	return i.printSigningKeys(answer)
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
	return i.printSigningKeys(answer)
}

func (i *invocation) printSigningKeys(answer adminapi.SigningKeys) error {
	t, now := &table{heads: []string{"SITE", "KEY ID", "ALGORITHM", "SIGNS FROM", "PUBLISHED UNTIL"}, none: "The sites sign nothing."}, time.Now()
	for _, k := range answer.SigningKeys {
		t.add(k.Site, k.KeyID, k.Algorithm, when(k.SignsFrom, now), when(k.PublishedUntil, now))
	}
	return i.print(answer, t)
}
