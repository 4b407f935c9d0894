package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func initialTokensCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "initial-access-tokens",
		Short: "Lists, creates and deletes tokens with which clients may register",
		Long: `Lists initial access tokens, with which clients may register where that takes one:
sites with "registration { initial_access_token required }".`,
		Args: cobra.NoArgs,
		RunE: runs(listInitialTokens),
	}
	siteFlag(cmd)
	cmd.AddCommand(listInitialTokensCommand(), createInitialTokenCommand(), deleteInitialTokenCommand())
	return cmd
}

func listInitialTokensCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists those that are good",
		Args:  cobra.NoArgs,
		RunE:  runs(listInitialTokens),
	}
	siteFlag(cmd)
	return cmd
}

func listInitialTokens(i *invocation) error {
	answer, err := get[adminapi.InitialTokens](i, adminapi.InitialTokensPath, i.query("site"))
	if err != nil {
		return err
	}
	t, now := &table{heads: []string{"NAME", "SITE", "MADE", "EXPIRES", "USES LEFT"}, cut: []string{"SITE"}, none: "There is no initial access token that was made here."}, time.Now()
	for _, token := range answer.InitialTokens {
		left := "any"
		if token.UsesLeft != nil {
			left = strconv.Itoa(*token.UsesLeft)
		}
		t.add(token.Name, token.Site, when(token.CreatedAt, now), when(token.ExpiresAt, now), left)
	}
	return i.print(answer, t)
}

func createInitialTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Makes one, and shows it this once",
		Long: `Makes an initial access token, and shows it this once: whoever sends it as a bearer
token may register a client.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              runs(createInitialToken),
	}
	siteFlag(cmd)
	cmd.Flags().String("expires-in", "", "when it ends, as 90d or 12h; default: never")
	cmd.Flags().Int("uses", 0, "how many clients may register with it; default: any number")
	return cmd
}

func createInitialToken(i *invocation) error {
	body := map[string]any{"name": i.args[0]}
	if in := i.text("expires-in"); in != "" {
		body["expires_in"] = in
	}
	if flags := i.cmd.Flags(); flags.Changed("uses") {
		body["uses"], _ = flags.GetInt("uses")
	}
	token, err := send[adminapi.InitialToken](i, http.MethodPost, adminapi.InitialTokensPath, i.query("site"), body)
	if err != nil {
		return err
	}
	return i.printSecret(token, token.Token, "initial access token "+clean(token.Name)+" of", token.Site)
}

func deleteInitialTokenCommand() *cobra.Command {
	cmd := confirmable(&cobra.Command{
		Use:   "delete NAME",
		Short: "Ends one; who registered with it stays registered",
		Args:  cobra.ExactArgs(1),
		ValidArgsFunction: completes(adminapi.InitialTokensPath, func(a adminapi.InitialTokens) (names []string) {
			for _, t := range a.InitialTokens {
				names = append(names, t.Name)
			}
			return names
		}),
		RunE: runs(deleteInitialToken),
	})
	siteFlag(cmd)
	return cmd
}

func deleteInitialToken(i *invocation) error {
	if err := i.confirm("Nobody can register with the initial access token %s any more.", i.args[0]); err != nil {
		return err
	}
	answer, err := send[adminapi.DeletedInitialToken](i, http.MethodDelete, adminapi.InitialTokensPath+"/"+url.PathEscape(i.args[0]), i.query("site"), nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: "Deleted."})
}
