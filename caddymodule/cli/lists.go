package cli

import (
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// list is a command that prints a list of the admin API: T is the answer, and E an
// entry.
type list[T, E any] struct {
	path    string
	filters []string // flags that are parameters of the same name
	// of returns where in an answer the entries and the next page are.
	of    func(*T) (*[]E, *string)
	heads []string
	cut   []string // heads of columns that may be cut
	row   func(e E, now time.Time) []string
	none  string // what to say if there is none
}

const maxPage = 1000

// listFlags adds the flags that say how much of a list is wanted.
func listFlags(cmd *cobra.Command) *pflag.FlagSet {
	flags := cmd.Flags()
	flags.Int("limit", 100, "how many entries at most, from 1 to "+strconv.Itoa(maxPage))
	flags.String("after", "", "go on behind this place, which the list before ended with")
	flags.Bool("all", false, "the whole list, however long")
	cmd.MarkFlagsMutuallyExclusive("limit", "all")
	return flags
}

// siteFlag adds the flag that names a site.
func siteFlag(cmd *cobra.Command) {
	cmd.Flags().String("site", "", "the public URL of the site that is meant, where several could be")
	_ = cmd.RegisterFlagCompletionFunc("site", fromStatus(func(s adminapi.SiteStatus) []string { return []string{s.URL} }))
}

// serverFlag adds the flag that names a server.
func serverFlag(cmd *cobra.Command, about string) {
	cmd.Flags().String("server", "", about)
	_ = cmd.RegisterFlagCompletionFunc("server", fromStatus(func(s adminapi.SiteStatus) (ids []string) {
		for _, server := range s.Servers {
			ids = append(ids, server.ID)
		}
		return ids
	}))
}

// choiceFlag adds a flag that is one of a few words.
func choiceFlag(cmd *cobra.Command, name, about string, choices ...string) {
	cmd.Flags().String(name, "", about)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
}

// fromStatus completes with what there is at the sites.
func fromStatus(names func(adminapi.SiteStatus) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) (all []string, _ cobra.ShellCompDirective) {
		status, err := get[adminapi.Status](&invocation{cmd: cmd}, adminapi.StatusPath, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, s := range status.Sites {
			all = append(all, names(s)...)
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// print asks for the list and prints it. A page can be short of what it may have, so
// it is asked for the next one.
func (l list[T, E]) print(i *invocation) error {
	wanted, err := i.cmd.Flags().GetInt("limit")
	if err != nil {
		return err
	}
	query := i.query(append(l.filters, "after")...)
	var answer T
	entries, next := l.of(&answer)
	for {
		query.Set("limit", strconv.Itoa(wanted-len(*entries)))
		if i.is("all") {
			query.Set("limit", strconv.Itoa(maxPage))
		}
		page, err := get[T](i, l.path, query)
		if err != nil {
			return err
		}
		found, rest := l.of(&page)
		*entries, *next = append(*entries, *found...), *rest
		if *next == "" || !i.is("all") && len(*entries) >= wanted {
			break
		}
		query.Set("after", *next)
	}
	if *entries == nil {
		*entries = []E{}
	}
	return l.write(i, answer, *entries, *next)
}

func (l list[T, E]) write(i *invocation, answer T, entries []E, next string) error {
	t, now := &table{heads: l.heads, cut: l.cut, none: l.none}, time.Now()
	for _, e := range entries {
		t.add(l.row(e, now)...)
	}
	if err := i.print(answer, t); err != nil {
		return err
	}
	if next != "" && !i.is("json") {
		i.cmd.PrintErrf("There may be more: --after %q, or --all.\n", next)
	}
	return nil
}

// fields prints what there is to say of one thing, a line each.
func (i *invocation) fields(answer any, pairs ...string) error {
	t := &table{}
	var row []string
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] != "" {
			t.heads, row = append(t.heads, pairs[n]), append(row, pairs[n+1])
		}
	}
	t.add(row...)
	t.blocks = true
	return i.print(answer, t)
}

// completes returns what completes the first argument of a command: the names that
// are in a list of the admin API.
func completes[T any](path string, names func(T) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		answer, err := get[T](&invocation{cmd: cmd}, path, url.Values{"limit": {strconv.Itoa(maxPage)}})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names(answer), cobra.ShellCompDirectiveNoFileComp
	}
}
