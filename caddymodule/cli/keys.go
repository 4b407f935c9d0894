package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Lists virtual keys; makes, changes, rotates and deletes them",
		Long: `Lists virtual keys, those of the configuration too, with their last use. Those that
were made here can be changed here.`,
		Args: cobra.NoArgs,
		RunE: runs(keyList.print),
	}
	listFlags(cmd)
	siteFlag(cmd)
	serverFlag(cmd, "only those that are good for this server")
	choiceFlag(cmd, "status", "only those that are active, disabled or expired", "active", "disabled", "expired")
	cmd.AddCommand(showKeyCommand(), makeKeyCommand(), changeKeyCommand(),
		disablingCommand("disable", "Makes a key good for nothing until it is enabled again", true),
		disablingCommand("enable", "Lets a key that was disabled be used again", false),
		rotateVirtualKeyCommand(), deleteKeyCommand())
	return cmd
}

var keyList = list[adminapi.Keys, adminapi.Key]{
	path: adminapi.KeysPath, filters: []string{"site", "server", "status"},
	of:    func(a *adminapi.Keys) (*[]adminapi.Key, *string) { return &a.Keys, &a.Next },
	heads: []string{"NAME", "SITE", "STATUS", "SERVERS", "LAST USED", "EXPIRES", "FROM"}, cut: []string{"SITE", "SERVERS"},
	row: func(k adminapi.Key, now time.Time) []string {
		return []string{k.Name, k.Site, string(k.Status), serversOf(k), when(k.LastUsedAt, now), when(k.ExpiresAt, now), k.Source}
	},
	none: "There is no virtual key.",
}

func serversOf(k adminapi.Key) string {
	if len(k.Servers) == 0 {
		return "all"
	}
	return strings.Join(k.Servers, ", ")
}

// keyCommand makes a command about one key of what is special about it.
func keyCommand(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = completes(adminapi.KeysPath, func(a adminapi.Keys) (names []string) {
		for _, k := range a.Keys {
			names = append(names, k.Name)
		}
		return names
	})
	siteFlag(cmd)
	return cmd
}

func keyPath(name string) string { return adminapi.KeysPath + "/" + url.PathEscape(name) }

func showKeyCommand() *cobra.Command {
	return keyCommand(&cobra.Command{
		Use:   "show NAME",
		Short: "Shows one",
		RunE: runs(func(i *invocation) error {
			key, err := get[adminapi.Key](i, keyPath(i.args[0]), i.query("site"))
			if err != nil {
				return err
			}
			return printKey(i, key)
		}),
	})
}

// printKey prints what there is to say of a key, but for the key itself.
func printKey(i *invocation, k adminapi.Key) error {
	now := time.Now()
	return i.fields(k, "Name", k.Name, "Site", k.Site, "Status", string(k.Status), "Servers", serversOf(k),
		"From", k.Source, "Made", when(k.CreatedAt, now), "Rotated", when(k.RotatedAt, now), "Former one good until", when(k.FormerUntil, now),
		"Expires", when(k.ExpiresAt, now), "Last used", when(k.LastUsedAt, now))
}

// printNewKey prints a key that was made just now.
func printNewKey(i *invocation, k adminapi.Key) error {
	return i.printSecret(k, k.Key, "virtual key of "+clean(k.Name)+" at", k.Site)
}

func makeKeyCommand() *cobra.Command {
	cmd := keyCommand(&cobra.Command{
		Use:   "make NAME",
		Short: "Makes one, and shows it this once",
		Long: `Makes a virtual key, and shows it this once: hand it to its person. They enter it
where they sign in, or their client sends it as a bearer token.`,
		Example: "  caddy mcp-oauth keys make alice --servers wiki,tickets --expires-in 90d",
		RunE:    runs(makeKey),
	})
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().StringSlice("servers", nil, "the ids of the servers it is good for; default: all")
	cmd.Flags().String("expires-in", "", "when it ends, as 90d or 12h; default: never")
	return cmd
}

func makeKey(i *invocation) error {
	body := map[string]any{"name": i.args[0]}
	addKeyFlags(i, body)
	key, err := send[adminapi.Key](i, http.MethodPost, adminapi.KeysPath, i.query("site"), body)
	if err != nil {
		return err
	}
	return printNewKey(i, key)
}

// addKeyFlags adds what the flags say of a key.
func addKeyFlags(i *invocation, body map[string]any) {
	if flags := i.cmd.Flags(); flags.Changed("servers") {
		body["servers"], _ = flags.GetStringSlice("servers")
	}
	if in := i.text("expires-in"); in != "" {
		body["expires_in"] = in
	}
	if i.is("all-servers") {
		body["servers"] = nil
	}
	if i.is("no-expiry") {
		body["expires_at"] = nil
	}
}

func changeKeyCommand() *cobra.Command {
	cmd := keyCommand(&cobra.Command{
		Use:   "change NAME",
		Short: "Changes which servers one is good for, or when it ends",
		RunE: runs(func(i *invocation) error {
			body := map[string]any{}
			addKeyFlags(i, body)
			return changeKey(i, body)
		}),
	})
	flags := cmd.Flags()
	flags.StringSlice("servers", nil, "the ids of the servers it is good for")
	flags.Bool("all-servers", false, "it is good for all servers")
	flags.String("expires-in", "", "when it ends, as 90d or 12h, from now")
	flags.Bool("no-expiry", false, "it never ends")
	cmd.MarkFlagsMutuallyExclusive("servers", "all-servers")
	cmd.MarkFlagsMutuallyExclusive("expires-in", "no-expiry")
	cmd.MarkFlagsOneRequired("servers", "all-servers", "expires-in", "no-expiry")
	return cmd
}

func changeKey(i *invocation, body map[string]any) error {
	key, err := send[adminapi.Key](i, http.MethodPatch, keyPath(i.args[0]), i.query("site"), body)
	if err != nil {
		return err
	}
	return printKey(i, key)
}

func disablingCommand(use, short string, disabled bool) *cobra.Command {
	return keyCommand(&cobra.Command{
		Use:   use + " NAME",
		Short: short,
		RunE:  runs(func(i *invocation) error { return changeKey(i, map[string]any{"disabled": disabled}) }),
	})
}

func rotateVirtualKeyCommand() *cobra.Command {
	cmd := keyCommand(&cobra.Command{
		Use:   "rotate NAME",
		Short: "Makes the successor of one, and shows it this once",
		Long: `Makes the successor of a virtual key, and shows it this once. The one before stays
good for --overlap, so that its person can change it in peace; for a key that leaked,
say --overlap 0s.`,
		RunE: runs(rotateVirtualKey),
	})
	cmd.Flags().String("overlap", "24h", "how long the one before stays good, as 24h or 0s")
	return cmd
}

func rotateVirtualKey(i *invocation) error {
	key, err := send[adminapi.Key](i, http.MethodPost, keyPath(i.args[0])+"/rotate", i.query("site"), map[string]any{"overlap": i.text("overlap")})
	if err != nil {
		return err
	}
	return printNewKey(i, key)
}

func deleteKeyCommand() *cobra.Command {
	cmd := confirmable(keyCommand(&cobra.Command{
		Use:   "delete NAME",
		Short: "Ends one, and what was approved with it",
		RunE:  runs(deleteKey),
	}))
	cmd.Flags().Bool("connections", false, "end the connected accounts of its person too, also at the providers")
	return cmd
}

func deleteKey(i *invocation) error {
	key, err := get[adminapi.Key](i, keyPath(i.args[0]), i.query("site"))
	if err != nil {
		return err
	}
	if err := i.confirm("This ends the virtual key %s at %s, with the grants and browser sessions of its person%s.", key.Name, key.Site, andConnections(i)); err != nil {
		return err
	}
	answer, err := send[adminapi.DeletedKey](i, http.MethodDelete, keyPath(i.args[0]), i.query("site", "connections"), nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: "Deleted."})
}

// andConnections says what --connections adds.
func andConnections(i *invocation) string {
	if i.is("connections") {
		return ", and their connected accounts, also at the providers"
	}
	return ""
}
