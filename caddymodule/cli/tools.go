package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

func toolsCommand() *cobra.Command {
	group := &cobra.Command{Use: "tools", Short: "Lists the tools of servers, and approves those that changed"}
	onlyGroups(group)
	list := &cobra.Command{
		Use:   "list SERVER",
		Short: "Lists the tools of a server, and what of them changed",
		Long: `Lists the tools of a server, as far as it listed them through this site. With pin_tools,
it shows which are not as they were approved, and what is different, field by field.
What a server says of its tools can be meant to deceive: it is quoted, and characters
that cannot be seen are escaped.`,
		Example: "  caddy mcp-oauth tools list notion",
		Args:    cobra.ExactArgs(1),
		RunE:    runs(listTools),
	}
	siteFlag(list)
	approve := confirmable(&cobra.Command{
		Use:   "approve SERVER [TOOL...]",
		Short: "Approves tools of a server that changed or are new",
		Long: `Approves tools of a server that changed or are new, as they are now, for everybody:
those that are named, or --all. It shows what is different, and asks before.`,
		Example: "  caddy mcp-oauth tools approve notion --all",
		Args:    cobra.MinimumNArgs(1),
		RunE:    runs(approveTools),
	})
	siteFlag(approve)
	approve.Flags().Bool("all", false, "all that wait to be approved")
	group.AddCommand(list, approve)
	return group
}

func (i *invocation) tools() (adminapi.Tools, error) {
	query := i.query("site")
	query.Set("server", i.args[0])
	return get[adminapi.Tools](i, adminapi.ToolsPath, query)
}

func listTools(i *invocation) error {
	answer, err := i.tools()
	if err != nil {
		return err
	}
	t := &table{heads: []string{"TOOL", "STATE", "APPROVED", "BY"}, none: "The server listed no tools through this site yet."}
	now := time.Now()
	for _, tool := range answer.Tools {
		t.add(tool.Name, tool.State, when(tool.ApprovedAt, now), tool.ApprovedBy)
	}
	if err := i.print(answer, t); err != nil {
		return err
	}
	for _, tool := range answer.Tools {
		i.sayChanges(tool, now)
	}
	return nil
}

// sayChanges shows what is different, in the server's words.
func (i *invocation) sayChanges(tool adminapi.Tool, now time.Time) {
	for _, pending := range tool.Pending {
		i.say("")
		i.say("%s is %s, seen %s:", strconv.Quote(tool.Name), tool.State, when(pending.SeenAt, now))
		for _, change := range pending.Changes {
			i.say("  %s", change.Field)
			for _, side := range []struct{ sign, text string }{{"-", change.Before}, {"+", change.After}} {
				if side.text != "" {
					i.say("    %s %s", side.sign, strconv.Quote(side.text))
				}
			}
		}
	}
}

// meant asks whether a tool of another name is meant, if there is none of this one.
func meant(name string, tools []adminapi.Tool) string {
	var known []string
	for _, tool := range tools {
		known = append(known, tool.Name)
	}
	if near := spelling.Nearest(name, known); near != "" && near != name {
		return "; did you mean " + clean(near) + "?"
	}
	return ""
}

func approveTools(i *invocation) error {
	names := i.args[1:]
	if i.is("all") == (len(names) > 0) {
		return errors.New("say which tools: their names, or --all")
	}
	answer, err := i.tools()
	if err != nil {
		return err
	}
	var wanted adminapi.ApproveTools
	now := time.Now()
	for _, tool := range answer.Tools {
		if len(tool.Pending) == 0 || !i.is("all") && !slices.Contains(names, tool.Name) {
			continue
		}
		i.sayChanges(tool, now)
		for _, pending := range tool.Pending {
			wanted.Tools = append(wanted.Tools, adminapi.ApproveTool{Name: tool.Name, Hash: pending.Hash})
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(wanted.Tools, func(t adminapi.ApproveTool) bool { return t.Name == name }) {
			return fmt.Errorf("%q of %s does not wait to be approved%s", name, answer.Server, meant(name, answer.Tools))
		}
	}
	if len(wanted.Tools) == 0 {
		return i.print(adminapi.ApprovedTools{}, &table{none: "No tool of " + answer.Server + " waits to be approved."})
	}
	if err := i.confirm("This approves %s of %s for everybody.", plural(len(wanted.Tools), "definition"), answer.Server); err != nil {
		return err
	}
	query := i.query("site")
	query.Set("server", i.args[0])
	approved, err := send[adminapi.ApprovedTools](i, http.MethodPost, adminapi.ApproveToolsPath, query, wanted)
	if err != nil {
		return err
	}
	return i.print(approved, &table{none: plural(approved.Approved, "definition") + " approved."})
}

func mayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "may PERSON SERVER [NAME]",
		Short: "Tells whether a person may use a tool of a server, and which rule decides",
		Long: `Tells whether a person may use a tool, a resource or a prompt of a server, and which
access rule decides; without a name, whether they may use the server, and which of what
it listed through this site. The person is a subject, such as virtual_key:alice, or a
name that only one person has here. What the answer depends on and is not known here is
named: for annotations of a tool that was not listed yet, MCP's defaults are taken, and
arguments may be any. So are the scopes that a call needs, and the applications that the
person does not let use it.

The exit status is 0 if they may, 2 if not, and 1 if that cannot be told.`,
		Example: `  caddy mcp-oauth may alice notion search
  caddy mcp-oauth may virtual_key:alice notion`,
		Args: cobra.RangeArgs(2, 3),
		RunE: runs(may),
	}
	siteFlag(cmd)
	choiceFlag(cmd, "kind", "what has the name: tool, resource or prompt; a tool by default", "tool", "resource", "prompt")
	cmd.Flags().String("client", "", "the client ID of the application that calls for them; any by default")
	return cmd
}

// narrowed names the clients that a person lets use less.
func narrowed(grants []adminapi.NarrowedGrant) string {
	var names []string
	for _, g := range grants {
		names = append(names, fmt.Sprintf("%s (grant %s)", cmp.Or(g.ClientName, g.Client), g.Grant))
	}
	return strings.Join(names, ", ")
}

func may(i *invocation) error {
	query := i.query("site", "kind", "client")
	query.Set("subject", i.args[0])
	query.Set("server", i.args[1])
	if len(i.args) > 2 {
		query.Set("name", i.args[2])
	}
	a, err := get[adminapi.Access](i, adminapi.AccessPath, query)
	if err != nil {
		return err
	}
	rule := a.Rule
	if a.Number > 0 {
		rule = fmt.Sprintf("%s (rule %d for %ss)", a.Rule, a.Number, a.Kind)
	}
	if err := i.fields(a, "Person", a.Subject, "Allowed", yes(a.Allowed), "Why", a.Why, "Rule", rule, "Not known here", strings.Join(a.Unknown, ", "),
		"Needs the scope", strings.Join(a.Scopes, ", "), "At the provider", strings.Join(a.ProviderScopes, ", "), "Not through", narrowed(a.NotChosen)); err != nil {
		return err
	}
	if len(a.Items) > 0 && !i.is("json") {
		i.say("")
		t := &table{heads: []string{"KIND", "NAME", "ALLOWED", "RULE", "NOT KNOWN HERE"}, cut: []string{"RULE"}}
		for _, item := range a.Items {
			t.add(item.Kind, item.Name, yes(item.Allowed), cmp.Or(item.Rule, item.Why), strings.Join(item.Unknown, ", "))
		}
		if err := i.print(nil, t); err != nil {
			return err
		}
	}
	if !a.Allowed {
		return status{2, nil}
	}
	return nil
}
