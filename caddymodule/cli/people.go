package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func peopleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "people",
		Short: "Lists people; shows and ends all that one of them has",
		Long: `Lists who has something here: a grant, a connection, a browser session, or what an
identity provider says of them.`,
		Args: cobra.NoArgs,
		RunE: runs(peopleList.print),
	}
	listFlags(cmd)
	siteFlag(cmd)
	cmd.AddCommand(showPersonCommand(), revokePersonCommand())
	return cmd
}

var peopleList = list[adminapi.People, adminapi.PersonInList]{
	path: adminapi.PeoplePath, filters: []string{"site"},
	of:    func(a *adminapi.People) (*[]adminapi.PersonInList, *string) { return &a.People, &a.Next },
	heads: []string{"PERSON", "NAME", "E-MAIL", "SITE"},
	row: func(p adminapi.PersonInList, _ time.Time) []string {
		return []string{p.Subject, p.Name, p.Email, p.Site}
	},
	none: "Nobody has anything here.",
}

func personCommand(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = completes(adminapi.PeoplePath, func(a adminapi.People) (names []string) {
		for _, p := range a.People {
			names = append(names, p.Subject)
		}
		return names
	})
	siteFlag(cmd)
	return cmd
}

func showPersonCommand() *cobra.Command {
	return personCommand(&cobra.Command{
		Use:     "show SUBJECT",
		Short:   "Shows all that a person has",
		Example: "  caddy mcp-oauth people show virtual_key:alice",
		RunE:    runs(showPerson),
	})
}

func getPerson(i *invocation) (adminapi.Person, error) {
	return get[adminapi.Person](i, adminapi.PeoplePath+"/"+url.PathEscape(i.args[0]), i.query("site"))
}

func showPerson(i *invocation) error {
	person, err := getPerson(i)
	if err != nil {
		return err
	}
	if i.is("json") {
		return i.printJSON(person)
	}
	for n, p := range person.Sites {
		if n > 0 {
			i.say("")
		}
		if err := printPersonAt(i, person.Subject, p); err != nil {
			return err
		}
	}
	return nil
}

func printPersonAt(i *invocation, subject string, p adminapi.PersonAtSite) error {
	now, key := time.Now(), ""
	if p.Key != nil {
		key = fmt.Sprintf("%s, good for %s, from the %s, last used %s", p.Key.Status, serversOf(*p.Key), p.Key.Source, when(p.Key.LastUsedAt, now))
	}
	if err := i.fields(nil, "Person", subject, "Site", p.Site, "Name", p.Name, "E-mail", p.Email, "Groups", strings.Join(p.Groups, ", "),
		"Signed in", when(p.SignedInAt, now), "Provider asked", when(p.VerifiedAt, now), "Virtual key", key,
		"Accounts end", untilTheyReturn(p.AccountsEndAt, now)); err != nil {
		return err
	}
	grants := &table{heads: grantList.heads, cut: grantList.cut}
	for _, g := range p.Grants {
		grants.add(grantRow(g, now)...)
	}
	connections := &table{heads: connectionList.heads, cut: connectionList.cut}
	for _, c := range p.Connections {
		connections.add(connectionRow(c, now)...)
	}
	sessions := &table{heads: []string{"SINCE", "UNTIL"}}
	for _, s := range p.Sessions {
		sessions.add(when(s.CreatedAt, now), when(s.ExpiresAt, now))
	}
	for _, part := range []struct {
		title string
		*table
	}{{"Grants", grants}, {"Connections", connections}, {"Browser sessions", sessions}} {
		if len(part.rows) == 0 {
			continue
		}
		i.say("")
		i.say("%s", part.title)
		if err := part.write(i.cmd.OutOrStdout(), i.width()); err != nil {
			return err
		}
	}
	return nil
}

// untilTheyReturn says when the accounts of somebody who left end.
func untilTheyReturn(end, now time.Time) string {
	if end.IsZero() {
		return ""
	}
	return when(end, now) + ", unless they sign in again"
}

func revokePersonCommand() *cobra.Command {
	cmd := confirmable(personCommand(&cobra.Command{
		Use:   "revoke SUBJECT",
		Short: "Ends all that a person has: for somebody who leaves",
		Long: `Ends all that a person has: grants, browser sessions, sign-ins and ways to providers
under way; with --connections also their connected accounts. It keeps nobody from
signing in again: take that away where they have it from, such as their virtual key.`,
		RunE: runs(revokePerson),
	}))
	cmd.Flags().Bool("connections", false, "end their connected accounts too, also at the providers")
	return cmd
}

func revokePerson(i *invocation) error {
	person, err := getPerson(i)
	if err != nil {
		return err
	}
	grants, sessions, connections := 0, 0, 0
	for _, p := range person.Sites {
		grants, sessions, connections = grants+len(p.Grants), sessions+len(p.Sessions), connections+len(p.Connections)
	}
	what := plural(grants, "grant") + " and " + plural(sessions, "browser session")
	if i.is("connections") {
		what += " and " + plural(connections, "connected account")
	}
	if err := i.confirm("This ends %s of %s, and what they have under way.", what, person.Subject); err != nil {
		return err
	}
	query := i.query("site", "connections")
	query.Set("subject", i.args[0])
	answer, err := send[adminapi.EndedPerson](i, http.MethodDelete, adminapi.PeoplePath, query, nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: fmt.Sprintf("%s and %s ended.", plural(len(answer.Grants), "grant"), plural(len(answer.Connections), "connection"))})
}
