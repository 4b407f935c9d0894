package mcp

import (
	"strings"
	"testing"
)

func TestEvents(t *testing.T) {
	// | marks where something may stand.
	for name, stream := range map[string]string{
		"line feeds":             "|event: message\ndata: 1\n\n|data: 2\n\n|",
		"both":                   "|event: message\r\ndata: 1\r\n\r|\n|data: 2\r\n\r|\n|",
		"carriage returns":       "|data: 1\r\r|data: 2\r\r|",
		"comments":               "|: hello\n|: again\n|\n|data: 1\n\n|:\n|",
		"a comment in an event":  "|id: 7\n: still\ndata: 1\n\n|",
		"a field without colon":  "|data\n\n|",
		"blank lines":            "|\n|\n|data: 1\n\n|\n|",
		"an event that goes on":  "|data: 1\ndata: 2\n",
		"a line that goes on":    "|data: 1",
		"a colon within a value": "|data: a:b\n:c\n\n|",
	} {
		t.Run(name, func(t *testing.T) {
			plain := strings.ReplaceAll(stream, "|", "")
			for size := 1; size <= len(plain); size++ {
				var e Events
				var got strings.Builder
				got.WriteByte('|')
				for rest := plain; rest != ""; {
					chunk := rest[:min(size, len(rest))]
					n, found := e.Scan([]byte(chunk))
					if found != e.Between() {
						t.Fatalf("found %v, between %v", found, e.Between())
					}
					got.WriteString(rest[:n])
					if rest = rest[n:]; found {
						got.WriteByte('|')
					}
				}
				if got.String() != stream {
					t.Fatalf("in chunks of %d: %q, want %q", size, got.String(), stream)
				}
				var skipped Events
				if skipped.Skip([]byte(plain)); skipped != e {
					t.Errorf("skipped: %+v, want %+v", skipped, e)
				}
			}
		})
	}
}

func TestElicitationComplete(t *testing.T) {
	const want = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/elicitation/complete\",\"params\":{\"elicitationId\":\"e-1\"}}\n\n"
	if got := string(ElicitationComplete("e-1")); got != want {
		t.Errorf("event %q, want %q", got, want)
	}
}
