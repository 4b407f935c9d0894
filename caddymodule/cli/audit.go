package cli

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/hashchain"
)

func auditCommand() *cobra.Command {
	parent := &cobra.Command{Use: "audit", Short: "Checks the audit log"}
	verify := &cobra.Command{
		Use:   "verify <file>...",
		Short: "Tells whether a chained log is as it was written",
		Long: `Tells whether a log that was written with "output mcp_oauth_chain" is as it was
written: that no line was changed, taken away, put in or moved. It needs no running
Caddy. Give it all files of one chain, in any order: the one that is written, and
those that were rotated from it, as they are or as .gz. It names the first line that
is not in order.

What the chain cannot tell by itself is whether lines are missing at its end, or
whether somebody who could write the files made all of it anew. For that, Caddy
writes the end of the chain into its default log, once an hour and when it stops, in
lines with audit.head. Keep that log elsewhere, and give --head the hash of such a
line: it has to be in the chain.

The exit status is 0 if all is in order, 1 if not, and 2 if a file cannot be read.`,
		Example: `  caddy mcp-oauth audit verify /var/log/caddy/audit*.log*
  caddy mcp-oauth audit verify --head 9f86d081… audit.log`,
		Args: cobra.MinimumNArgs(1),
		RunE: runs(verifyAudit),
	}
	verify.Flags().StringSlice("head", nil, "the hash of a line that has to be in the chain; repeatable")
	parent.AddCommand(verify)
	onlyGroups(parent)
	return parent
}

// auditAnswer is what is printed with --json.
type auditAnswer struct {
	Whole      bool              `json:"whole"`
	Files      []string          `json:"files"`
	First      uint64            `json:"first_line"`
	Last       uint64            `json:"last_line"`
	Hash       string            `json:"hash,omitempty"`
	Before     int               `json:"lines_before_the_chain"`
	Torn       []hashchain.Place `json:"incomplete_lines"`
	Incomplete *hashchain.Place  `json:"incomplete_end,omitempty"`
	Missing    []string          `json:"missing_heads"`
	Broken     *hashchain.Break  `json:"broken,omitempty"`
}

func verifyAudit(i *invocation) error {
	texts, _ := i.cmd.Flags().GetStringSlice("head")
	heads := make([]hashchain.Hash, len(texts))
	for n, text := range texts {
		var err error
		if heads[n], err = hashchain.ParseHash(strings.ToLower(text)); err != nil {
			return status{2, err}
		}
	}
	report, err := hashchain.Verify(i.args, heads...)
	if err != nil {
		return status{2, err}
	}
	sayReport(i, report)
	if i.is("json") {
		if err := i.printJSON(answerOf(report)); err != nil {
			return err
		}
	}
	return verdict(report)
}

func answerOf(r *hashchain.Report) auditAnswer {
	a := auditAnswer{
		Whole: r.Whole(), Files: r.Files, First: r.First, Last: r.Head.Seq, Before: r.Before,
		Torn: append([]hashchain.Place{}, r.Torn...), Incomplete: r.Incomplete, Missing: []string{}, Broken: r.Broken,
	}
	if r.Head.Seq > 0 {
		a.Hash = r.Head.Hash.String()
	}
	for _, h := range r.Missing {
		a.Missing = append(a.Missing, h.String())
	}
	return a
}

// sayReport says what is in order, and what there is to know about it.
func sayReport(i *invocation, r *hashchain.Report) {
	if r.Head.Seq > 0 {
		i.say("Lines %d to %d are as they were written. The hash of line %d is %s", r.First, r.Head.Seq, r.Head.Seq, r.Head.Hash)
	}
	if r.First > 1 {
		i.say("What was before line %d is not in these files.", r.First)
	}
	if r.Before > 0 {
		i.say("%s has %d lines from before the chain; nothing is known of them.", r.Files[0], r.Before)
	}
	for _, at := range r.Torn {
		i.say("%s: incomplete, and the chain says so: Caddy was killed, or the disk was full, while it was written.", at)
	}
	if r.Incomplete != nil {
		i.say("%s: incomplete: it is being written, or Caddy was killed while it was.", *r.Incomplete)
	}
}

func verdict(r *hashchain.Report) error {
	switch {
	case r.Broken != nil:
		return errors.New(r.Broken.String() + ": " + r.Broken.Reason)
	case r.Head.Seq == 0:
		return errors.New("no line is chained; write the log with `output mcp_oauth_chain <file>`")
	case len(r.Missing) > 0:
		return errors.New("the line with the hash " + r.Missing[0].String() + " is not in the chain, which ends with line " +
			strconv.FormatUint(r.Head.Seq, 10) + ": lines were taken off its end, files are missing, or the chain was made anew")
	}
	return nil
}
