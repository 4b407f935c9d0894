package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

func whyCommand() *cobra.Command {
	cmd := addFlowFilters(&cobra.Command{
		Use:   "why [reference]",
		Short: "Tells why something does not work, and who is at fault",
		Long: `Tells why something does not work, who is at fault, and what to do.

The reference is what somebody was shown with an error (error reference, or
correlation_id), or the id of a flow, grant or connection. Without one, say whose flow
is meant, such as with --person alice or --client codex; then the latest are explained.`,
		Example: `  caddy mcp-oauth why 0b3d8f1e-5a3c-4c7e-9c53-0f4f4b8f9a52
  caddy mcp-oauth why --person alice --server notion`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(why),
	})
	cmd.Flags().String("limit", "", "how many flows at most (default 3)")
	return cmd
}

func why(i *invocation) error {
	query := i.query(append([]string{"limit"}, flowFilters...)...)
	if len(i.args) > 0 {
		query.Set("reference", i.args[0])
	}
	if len(query) == 0 {
		return errors.New("say what is meant: an error reference, or --person, --client or --server")
	}
	answer, err := get[adminapi.Reasons](i, adminapi.WhyPath, query)
	if err != nil {
		return err
	}
	if i.is("json") {
		return i.print(answer, nil)
	}
	for n, a := range answer.Answers {
		if n > 0 {
			i.say("%s", strings.Repeat("─", 60))
		}
		if err := printAnswer(i, a); err != nil {
			return err
		}
	}
	if answer.More > 0 {
		i.say("%s", plural(answer.More, "more flow")+" like that: caddy mcp-oauth flows lists them.")
	}
	return nil
}

// parties are who is at fault, in words.
var parties = map[faults.Party]string{
	faults.Client:   "the client",
	faults.Provider: "the provider, or the MCP server",
	faults.Person:   "the person who uses the client",
	faults.Operator: "whoever runs this site (you)",
	faults.Us:       "this software",
	faults.Nobody:   "nobody",
	faults.Unknown:  "what is known does not tell",
}

// printAnswer prints an answer for people.
func printAnswer(i *invocation, a *faults.Answer) error {
	w := &wrapped{out: i.cmd.OutOrStdout(), width: i.width()}
	w.paragraph("", a.What)
	w.paragraph("At fault    ", parties[a.AtFault])
	w.paragraph("Why         ", a.Why)
	w.paragraph("What to do  ", a.Fix)
	w.paragraph("            ", a.Since)
	w.paragraph("Known as    ", a.Fault)
	w.paragraph("            ", a.Link)
	for n, also := range a.Also {
		head := "Also        "
		if n > 0 {
			head = "            "
		}
		w.paragraph(head, also.What+" At fault: "+parties[also.AtFault]+". "+also.Fix)
	}
	w.line("")
	w.line("What happened, on " + a.Flow.Began.Local().Format("2006-01-02") + " (the steps with > show it):")
	for _, l := range a.Evidence {
		w.paragraph(mark(l), l.Text+times(l)+shown(l))
	}
	for _, missing := range a.Missing {
		w.paragraph("  >           ", "But "+missing+".")
	}
	if a.Flow.LeftOut > 0 {
		w.line("  (" + plural(a.Flow.LeftOut, "step") + " in between left out)")
	}
	w.paragraph("How sure    ", a.Sure)
	w.paragraph("Flow        ", a.Flow.ID+about(a.Flow))
	return w.err
}

// mark begins the line of a step: whether it shows the fault, how sure it is that it
// belongs here, and when it was.
func mark(l faults.Line) string {
	shows, join := " ", " "
	if l.Shows {
		shows = ">"
	}
	switch l.Join {
	case trace.Likely:
		join = "~"
	case trace.Possible:
		join = "?"
	}
	return "  " + shows + " " + l.Time.Local().Format(time.TimeOnly) + " " + join + " "
}

func times(l faults.Line) string {
	if l.Times < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d times, until %s)", l.Times, l.Until.Local().Format(time.TimeOnly))
}

func shown(l faults.Line) string {
	if l.Reference == "" {
		return ""
	}
	return " [" + l.Reference + "]"
}

// about says who a flow is of.
func about(t *trace.Trace) string {
	var parts []string
	for _, part := range [][2]string{{"client", t.Client}, {"program", t.Agent}, {"address", t.Address}, {"person", t.Person}, {"site", t.Site}} {
		if part[1] != "" {
			parts = append(parts, part[0]+" "+part[1])
		}
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// wrapped writes paragraphs that are no wider than a terminal.
type wrapped struct {
	out   io.Writer
	width int // 0 for none
	err   error
}

func (w *wrapped) line(text string) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.out, strings.TrimRight(text, " "))
	}
}

// paragraph writes a text behind a head, under which nothing else stands. An empty
// text is left out.
func (w *wrapped) paragraph(head, text string) {
	if text == "" {
		return
	}
	const narrowest = 30
	room, line := w.width-len([]rune(head)), ""
	for _, word := range strings.Fields(clean(text)) {
		if line != "" && room > narrowest && len([]rune(line))+1+len([]rune(word)) > room {
			w.line(head + line)
			head, line = strings.Repeat(" ", len([]rune(head))), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	w.line(head + line)
}

// flowFilters are the flags that say which flows are meant.
var flowFilters = []string{"person", "client", "server", "site"}

// addFlowFilters adds the flags to a command.
func addFlowFilters(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	flags.String("person", "", "who signed in, as oidc:alice@example.com, or what follows a colon")
	flags.String("client", "", "a client_id, or a part of the name or User-Agent of a client")
	serverFlag(cmd, "the id of an MCP server")
	flags.String("site", "", "the public URL of one site")
	return cmd
}

func flowsCommand() *cobra.Command {
	cmd := addFlowFilters(&cobra.Command{
		Use:   "flows",
		Short: "Lists what clients did lately, and what it came to",
		Long: `Lists the last ways of clients to MCP servers, the latest first: from the first
request over the sign-in to the calls. Each says what it came to, and who is at
fault if something failed. For one of them, caddy mcp-oauth why <id> tells the steps.`,
		Args: cobra.NoArgs,
		RunE: runs(listFlows),
	})
	cmd.Flags().Bool("failed", false, "only those in which something failed")
	cmd.Flags().String("limit", "", "how many at most, up to 1000")
	cmd.Flags().String("after", "", "the id of the last one of the page before")
	return cmd
}

func listFlows(i *invocation) error {
	answer, err := get[adminapi.Flows](i, adminapi.FlowsPath, i.query(append([]string{"failed", "limit", "after"}, flowFilters...)...))
	if err != nil {
		return err
	}
	t := &table{
		heads: []string{"LAST", "CLIENT", "PERSON", "SERVERS", "AT FAULT", "WHAT", "ID"}, cut: []string{"CLIENT", "WHAT"},
		none: "Nothing was recorded that this means.",
	}
	now := time.Now()
	for _, f := range answer.Flows {
		t.add(when(f.Last, now), cmp.Or(f.ClientName, f.UserAgent, f.ClientID, f.Address), f.Person, strings.Join(f.Servers, ", "), string(f.AtFault), f.What, f.ID)
	}
	if err := i.print(answer, t); err != nil {
		return err
	}
	if answer.Next != "" {
		i.say("There are more: add --after %s", answer.Next)
	}
	return nil
}
