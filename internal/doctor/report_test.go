package doctor

import "testing"

// In what the Caddys of a site differ is a finding, also where all else is well, or
// nothing could be checked.
func TestDiffer(t *testing.T) {
	for _, r := range []*Report{{URL: "https://a.example/mcp"}, {URL: "https://a.example/mcp", Reason: "it does not answer"}} {
		r.settle()
		r.Differ("another\nversion", "Bring them to one.")
		want := Finding{
			ID: "instances_differ", Severity: Warning, Title: "the Caddys that serve this site differ", At: r.URL,
			Seen: "another version", Spec: "docs/several-instances.md", Fix: "Bring them to one.",
		}
		if len(r.Findings) != 1 || r.Outcome != Findings {
			t.Fatalf("%s: %+v", r.Outcome, r.Findings)
		}
		got := r.Findings[0]
		if got.Clients == nil || len(got.Clients) > 0 {
			t.Errorf("clients %v, want none, as a list", got.Clients)
		}
		got.Clients = nil
		if asText(t, &Report{Findings: []Finding{got}}) != asText(t, &Report{Findings: []Finding{want}}) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
