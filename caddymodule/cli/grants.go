package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func grantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grants",
		Short: "Lists what people approved for applications, and ends it",
		Long:  "Lists valid grants: what people approved for applications. A grant ends with all its tokens.",
		Args:  cobra.NoArgs,
		RunE:  runs(grantList.print),
	}
	flags := listFlags(cmd)
	siteFlag(cmd)
	flags.String("subject", "", "only those of a person, as virtual_key:alice")
	flags.String("client", "", "only those of an application, by its client ID")
	serverFlag(cmd, "only those that are good for this server")
	cmd.AddCommand(showGrantCommand(), endGrantsCommand())
	return cmd
}

var grantList = list[adminapi.Grants, adminapi.Grant]{
	path: adminapi.GrantsPath, filters: []string{"site", "subject", "client", "server"},
	of:    func(a *adminapi.Grants) (*[]adminapi.Grant, *string) { return &a.Grants, &a.Next },
	heads: []string{"ID", "PERSON", "APPLICATION", "GOOD FOR", "APPROVED", "LAST TOKEN"}, cut: []string{"APPLICATION", "GOOD FOR", "PERSON"},
	row:  grantRow,
	none: "There is no such grant.",
}

func grantRow(g adminapi.Grant, now time.Time) []string {
	return []string{g.ID, g.Subject, nameOf(g.ClientName, g.ClientID), strings.Join(g.Resources, ", "), when(g.CreatedAt, now), when(g.LastUsedAt, now)}
}

// nameOf is what people call a client.
func nameOf(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

func completeGrants() cobra.CompletionFunc {
	return completes(adminapi.GrantsPath, func(a adminapi.Grants) (ids []string) {
		for _, g := range a.Grants {
			ids = append(ids, g.ID+"\t"+clean(g.Subject+" "+g.ClientName))
		}
		return ids
	})
}

func showGrantCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Shows one",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeGrants(),
		RunE: runs(func(i *invocation) error {
			g, err := get[adminapi.Grant](i, adminapi.GrantsPath+"/"+url.PathEscape(i.args[0]), nil)
			if err != nil {
				return err
			}
			now := time.Now()
			return i.fields(g, "ID", g.ID, "Site", g.Site, "Person", g.Subject, "Application", g.ClientName, "Client ID", g.ClientID,
				"Good for", strings.Join(g.Resources, " "), "Scopes", strings.Join(g.Scopes, " "),
				"Approved", when(g.CreatedAt, now), "Last token", when(g.LastUsedAt, now), "Expires", when(g.ExpiresAt, now))
		}),
	}
}

func endGrantsCommand() *cobra.Command {
	cmd := confirmable(&cobra.Command{
		Use:   "end [ID]",
		Short: "Ends one, or all of a person or an application",
		Long: `Ends a grant with all its tokens, or with --subject or --client all of a person or an
application: tokens end at once, open streams within seconds. Whoever wants to go on
has to sign in and approve again.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeGrants(),
		RunE:              runs(endGrants),
	})
	flags := cmd.Flags()
	siteFlag(cmd)
	flags.String("subject", "", "all of a person, as virtual_key:alice")
	flags.String("client", "", "all of an application, by its client ID")
	cmd.MarkFlagsMutuallyExclusive("subject", "client")
	return cmd
}

func endGrants(i *invocation) error {
	path, query := adminapi.GrantsPath, i.query("site", "subject", "client")
	switch {
	case len(i.args) == 1 && len(query) > 0:
		return errors.New("name a grant by its id, or say of whom all shall end; not both")
	case len(i.args) == 1:
		path += "/" + url.PathEscape(i.args[0])
		g, err := get[adminapi.Grant](i, path, nil)
		if err != nil {
			return err
		}
		if err := i.confirm("This ends what %s approved for %s at %s.", g.Subject, nameOf(g.ClientName, g.ClientID), g.Site); err != nil {
			return err
		}
	case query.Has("subject"), query.Has("client"):
		if err := i.confirm("This ends everything that was approved %s.", ofWhom(query)); err != nil {
			return err
		}
	default:
		return errors.New("say which grant shall end, by its id, or all of whom, with --subject or --client")
	}
	answer, err := send[adminapi.EndedGrants](i, http.MethodDelete, path, query, nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: plural(len(answer.Ended), "grant") + " ended."})
}

func ofWhom(query url.Values) string {
	if client := query.Get("client"); client != "" {
		return "for " + client
	}
	return "by " + query.Get("subject")
}

func clientsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "Lists applications that sign people in; shows and deletes one",
		Long: `Lists clients, which are the applications that sign people in: those of the
configuration, and those that registered themselves. Clients with a metadata document
are not stored: see them with grants.`,
		Args: cobra.NoArgs,
		RunE: runs(clientList.print),
	}
	flags := listFlags(cmd)
	siteFlag(cmd)
	choiceFlag(cmd, "origin", "only those that are preregistered, in the configuration, or registered, by themselves", "preregistered", "registered")
	flags.Bool("used", false, "only those that somebody approved, or with --used=false the others")
	cmd.AddCommand(showClientCommand(), deleteClientCommand())
	return cmd
}

var clientList = list[adminapi.Clients, adminapi.Client]{
	path: adminapi.ClientsPath, filters: []string{"site", "origin", "used"},
	of:    func(a *adminapi.Clients) (*[]adminapi.Client, *string) { return &a.Clients, &a.Next },
	heads: []string{"ID", "NAME", "SITE", "ORIGIN", "USED", "REGISTERED", "EXPIRES"}, cut: []string{"NAME", "SITE"},
	row: func(c adminapi.Client, now time.Time) []string {
		return []string{c.ID, c.Name, c.Site, string(c.Origin), yes(c.Used), when(c.CreatedAt, now), when(c.ExpiresAt, now)}
	},
	none: "There is no such client.",
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func clientCommand(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = completes(adminapi.ClientsPath, func(a adminapi.Clients) (ids []string) {
		for _, c := range a.Clients {
			ids = append(ids, c.ID+"\t"+clean(c.Name))
		}
		return ids
	})
	return cmd
}

func getClient(i *invocation) (adminapi.Client, error) {
	return get[adminapi.Client](i, adminapi.ClientsPath+"/"+url.PathEscape(i.args[0]), nil)
}

func showClientCommand() *cobra.Command {
	return clientCommand(&cobra.Command{
		Use:   "show ID",
		Short: "Shows one",
		RunE: runs(func(i *invocation) error {
			c, err := getClient(i)
			if err != nil {
				return err
			}
			now := time.Now()
			return i.fields(c, "ID", c.ID, "Name", c.Name, "Site", c.Site, "Origin", string(c.Origin), "Redirects to", strings.Join(c.RedirectURIs, " "),
				"Used", yes(c.Used), "Registered", when(c.CreatedAt, now), "Expires", when(c.ExpiresAt, now))
		}),
	})
}

func deleteClientCommand() *cobra.Command {
	return confirmable(clientCommand(&cobra.Command{
		Use:   "delete ID",
		Short: "Removes a registration, and ends its grants",
		RunE:  runs(deleteClient),
	}))
}

func deleteClient(i *invocation) error {
	c, err := getClient(i)
	if err != nil {
		return err
	}
	if err := i.confirm("This removes the registration of %s at %s, and ends all that people approved for it.", nameOf(c.Name, c.ID), c.Site); err != nil {
		return err
	}
	answer, err := send[adminapi.DeletedClient](i, http.MethodDelete, adminapi.ClientsPath+"/"+url.PathEscape(i.args[0]), nil, nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: "Deleted; " + plural(len(answer.Grants), "grant") + " ended."})
}
