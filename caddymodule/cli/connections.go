package cli

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func connectionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "Lists connected accounts; ends one, starts a shared one",
		Long:  "Lists accounts at the servers behind the sites: those that people connected, and shared ones.",
		Args:  cobra.NoArgs,
		RunE:  runs(connectionList.print),
	}
	flags := listFlags(cmd)
	siteFlag(cmd)
	flags.String("subject", "", "only those of a person, as virtual_key:alice; shared: for those of everybody")
	serverFlag(cmd, "only those at this server")
	choiceFlag(cmd, "status", "only those that are authorized, pending, needs_reauth, expired or failed",
		"authorized", "pending", "needs_reauth", "expired", "failed")
	cmd.AddCommand(showConnectionCommand(), disconnectCommand(), startCommand())
	return cmd
}

var connectionList = list[adminapi.Connections, adminapi.Connection]{
	path: adminapi.ConnectionsPath, filters: []string{"site", "subject", "server", "status"},
	of:    func(a *adminapi.Connections) (*[]adminapi.Connection, *string) { return &a.Connections, &a.Next },
	heads: []string{"ID", "SERVER", "OWNER", "ACCOUNT", "STATUS", "CHANGED", "SITE"}, cut: []string{"OWNER", "ACCOUNT", "SITE"},
	row:  connectionRow,
	none: "There is no such connection.",
}

func connectionRow(c adminapi.Connection, now time.Time) []string {
	return []string{c.ID, serverOf(c), ownerOf(c), c.Account, c.Status, when(c.UpdatedAt, now), c.Site}
}

// ownerOf says whose a connection is.
func ownerOf(c adminapi.Connection) string {
	if c.Owner == "shared:" {
		return "everybody"
	}
	return c.Owner
}

func connectionCommand(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = completes(adminapi.ConnectionsPath, func(a adminapi.Connections) (ids []string) {
		for _, c := range a.Connections {
			ids = append(ids, c.ID+"\t"+clean(c.Server+" of "+ownerOf(c)))
		}
		return ids
	})
	return cmd
}

func getConnection(i *invocation) (adminapi.Connection, error) {
	return get[adminapi.Connection](i, adminapi.ConnectionsPath+"/"+url.PathEscape(i.args[0])+"/status", nil)
}

func printConnection(i *invocation, c adminapi.Connection) error {
	now := time.Now()
	return i.fields(c, "ID", c.ID, "Site", c.Site, "Server", serverOf(c), "Owner", ownerOf(c), "Account", c.Account, "Kind", string(c.Mode), "Status", c.Status,
		"Scopes", strings.Join(c.Scopes, " "), "Connected", when(c.CreatedAt, now), "Changed", when(c.UpdatedAt, now), "Token ends", when(c.TokenExpiresAt, now),
		"Forgotten", when(c.ExpiresAt, now))
}

func showConnectionCommand() *cobra.Command {
	return connectionCommand(&cobra.Command{
		Use:   "show ID",
		Short: "Shows one, or what became of it",
		Long: `Shows a connection, or what became of one that was started, refused or ended since
Caddy runs. A shared one is also found by the id of its server.`,
		RunE: runs(func(i *invocation) error {
			c, err := getConnection(i)
			if err != nil {
				return err
			}
			return printConnection(i, c)
		}),
	})
}

func disconnectCommand() *cobra.Command {
	return confirmable(connectionCommand(&cobra.Command{
		Use:   "disconnect ID",
		Short: "Ends one, here and at the provider",
		Long: `Ends a connection, here and at the provider; a shared one also by the id of its
server. What was only started is ended for those under way.`,
		RunE: runs(disconnect),
	}))
}

func disconnect(i *invocation) error {
	c, err := getConnection(i)
	if err != nil {
		return err
	}
	if err := i.confirm("This ends the connection of %s to %s at %s, here and at the provider.", ownerOf(c), c.Server, c.Site); err != nil {
		return err
	}
	c, err = send[adminapi.Connection](i, http.MethodDelete, adminapi.ConnectionsPath+"/"+url.PathEscape(i.args[0]), nil, nil)
	if err != nil {
		return err
	}
	return printConnection(i, c)
}

func startCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start SERVER",
		Short: "Starts the connection that everybody shares to a server, or that of a program",
		Long: `Prints the link on which an operator connects a server: one with "auth oauth" for
everybody or, with --subject, one with "auth per_user_oauth" or "auth per_user_headers"
for a program that acts for nobody. Open it in a browser. It is good once, for 15
minutes, and whoever has it can use it.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              runs(startConnection),
	}
	siteFlag(cmd)
	cmd.Flags().String("subject", "", "the program it is for, as client:batch; default: everybody")
	return cmd
}

func startConnection(i *invocation) error {
	answer, err := send[adminapi.StartedConnection](i, http.MethodPost, adminapi.ConnectionsPath+"/"+url.PathEscape(i.args[0])+"/start", i.query("site", "subject"), nil)
	if err != nil {
		return err
	}
	if i.is("json") {
		return i.printJSON(answer)
	}
	whom := "everybody"
	if answer.Subject != "" {
		whom = clean(answer.Subject)
	}
	i.cmd.PrintErrf("Open this in a browser within 15 minutes, to connect %s at %s for %s:\n", answer.Server, answer.Site, whom)
	i.say("%s", answer.AuthorizeURL)
	return nil
}

func providersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "providers",
		Short: "Lists what the sites registered themselves as at providers; forgets one",
		Long: `Lists what the sites registered themselves as, dynamically, at the providers of the
servers behind them.`,
		Args: cobra.NoArgs,
		RunE: runs(registrationList.print),
	}
	listFlags(cmd)
	siteFlag(cmd)
	serverFlag(cmd, "only those for this server")
	cmd.AddCommand(forgetCommand())
	return cmd
}

var registrationList = list[adminapi.Registrations, adminapi.Registration]{
	path: adminapi.RegistrationsPath, filters: []string{"site", "server"},
	of:    func(a *adminapi.Registrations) (*[]adminapi.Registration, *string) { return &a.Registrations, &a.Next },
	heads: []string{"SERVER", "PROVIDER", "CLIENT ID", "CHANGED", "EXPIRES", "SITE"}, cut: []string{"CLIENT ID", "SITE", "PROVIDER"},
	row: func(r adminapi.Registration, now time.Time) []string {
		id := r.ClientID
		if id == "" {
			id = "(the next person gets a new one)"
		}
		return []string{r.Server, r.Provider, id, when(r.ChangedAt, now), when(r.ExpiresAt, now), r.Site}
	},
	none: "The sites registered themselves nowhere.",
}

func forgetCommand() *cobra.Command {
	cmd := confirmable(&cobra.Command{
		Use:   "forget SERVER",
		Short: "Has the site register itself anew, for a server",
		Long: `Has the next person who connects a server get a new registration at its provider.
What is connected stays so, with the registration it was made with.`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: completes(adminapi.RegistrationsPath, func(a adminapi.Registrations) (servers []string) {
			for _, r := range a.Registrations {
				servers = append(servers, r.Server)
			}
			return servers
		}),
		RunE: runs(forget),
	})
	siteFlag(cmd)
	return cmd
}

func forget(i *invocation) error {
	if err := i.confirm("The next person who connects %s gets a new registration at its provider.", i.args[0]); err != nil {
		return err
	}
	answer, err := send[adminapi.DroppedRegistration](i, http.MethodDelete, adminapi.RegistrationsPath+"/"+url.PathEscape(i.args[0]), i.query("site"), nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: "Forgotten at " + plural(answer.Sites, "site") + "."})
}

// serverOf names a server, with the account there if people can have several.
func serverOf(c adminapi.Connection) string {
	if c.AccountName == "" {
		return c.Server
	}
	return c.Server + "/" + c.AccountName
}
