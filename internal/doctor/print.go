package doctor

import (
	"fmt"
	"io"
	"strings"
)

// words for how far a family came.
var reachedWords = map[Reached]string{
	Connected:  "connects",
	Person:     "needs a person",
	Stopped:    "STOPPED",
	NotOffered: "not offered",
	Skipped:    "not tried",
}

// Print writes the report for people. With steps it says what each family did.
func (r *Report) Print(w io.Writer, steps bool) error {
	var b strings.Builder
	b.WriteString(r.URL + "\n")
	if about := r.about(); about != "" {
		b.WriteString(about + "\n")
	}
	if len(r.Clients) > 0 {
		b.WriteString("\nClients\n")
	}
	for _, c := range r.Clients {
		fmt.Fprintf(&b, "  %-14s  %s\n", reachedWords[c.Reached], c.title())
		if len(c.Steps) == 0 {
			continue
		}
		if !steps {
			c.printEnd(&b)
			continue
		}
		for _, step := range c.Steps {
			mark := "-"
			if step.OK {
				mark = "+"
			}
			fmt.Fprintf(&b, "  %-14s    %s %s: %s\n", "", mark, step.Name, step.Text)
		}
	}
	for i, f := range r.Findings {
		f.print(&b, i+1)
	}
	r.printRegistrations(&b)
	b.WriteString("\n" + r.verdict() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// printEnd says where a client came to its end.
func (c ClientReport) printEnd(b *strings.Builder) {
	if last := c.Steps[len(c.Steps)-1]; c.Reached != Person {
		fmt.Fprintf(b, "  %-14s    %s: %s\n", "", last.Name, last.Text)
	}
}

func (r *Report) about() string {
	var parts []string
	switch r.SignIn {
	case "none":
		parts = append(parts, "no sign-in needed")
	case "oauth":
		parts = append(parts, "sign-in at "+r.Issuer)
	}
	if s := r.Server; s != nil {
		parts = append(parts, fmt.Sprintf("%s %s, speaks %s, %d tools", s.Name, s.Version, strings.Join(s.Revisions, " "), s.Tools))
	}
	return strings.Join(parts, "; ")
}

func (c ClientReport) title() string {
	if c.Like == "" {
		return "client " + c.Title
	}
	return fmt.Sprintf("client %s (%s)", c.Title, c.Like)
}

func (f Finding) print(b *strings.Builder, number int) {
	fmt.Fprintf(b, "\n%d. %s: %s [%s]\n", number, strings.ToUpper(string(f.Severity)), f.Title, f.ID)
	for _, line := range [][2]string{
		{"at", f.At}, {"seen", f.Seen}, {"clients", strings.Join(f.Clients, ", ")}, {"standard", f.Spec}, {"fix", f.Fix},
		{"reference", strings.Join(f.References, ", ")}, {"logged", strings.Join(f.Logged, "\n"+strings.Repeat(" ", 13))},
	} {
		if line[1] != "" {
			fmt.Fprintf(b, "   %-9s %s\n", line[0], line[1])
		}
	}
}

func (r *Report) printRegistrations(b *strings.Builder) {
	deleted := 0
	for _, c := range r.Registrations {
		if c.Deleted {
			deleted++
			continue
		}
		fmt.Fprintf(b, "\nA client is left behind at %s: %s. Why: %s\n", c.Issuer, c.ClientID, c.Left)
	}
	if deleted > 0 {
		fmt.Fprintf(b, "\n%d clients were registered and deleted again.\n", deleted)
	}
}

func (r *Report) verdict() string {
	switch r.Outcome {
	case Unchecked:
		return "Could not be checked: " + r.Reason
	case Healthy:
		return "Healthy: no failures and no warnings."
	}
	return fmt.Sprintf("%d failures, %d warnings.", r.count(Failure), r.count(Warning))
}
