package integration_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/doctor"
)

// examined is how the doctor ended.
type examined struct {
	doctor.Report
	Status  int
	Printed string
}

// examine runs the doctor as a program does.
func examine(t testing.TB, command func(args ...string) *exec.Cmd, url string, args ...string) examined {
	t.Helper()
	cmd := command(append([]string{"mcp-oauth", "doctor", url, "--json"}, args...)...)
	var printed, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &printed, &problems
	err := cmd.Run()
	e := examined{Printed: printed.String() + problems.String()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		e.Status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(printed.String()), &e.Report); err != nil {
		t.Fatalf("exit status %d, no report: %v\n%s", e.Status, err, e.Printed)
	}
	return e
}

// mustFind fails the test unless the doctor found exactly these.
func (e examined) mustFind(t testing.TB, ids ...string) {
	t.Helper()
	var got []string
	for _, f := range e.Findings {
		got = append(got, f.ID)
	}
	slices.Sort(got)
	slices.Sort(ids)
	got = slices.Compact(got)
	if !slices.Equal(got, ids) {
		var text strings.Builder
		_ = e.Print(&text, true)
		t.Errorf("found %v, want %v\n%s", got, ids, text.String())
	}
}

func (e examined) mustReach(t testing.TB, want doctor.Reached, except map[string]doctor.Reached) {
	t.Helper()
	for _, c := range e.Clients {
		wanted, ok := except[c.ID]
		if !ok {
			wanted = want
		}
		if c.Reached != wanted {
			t.Errorf("family %s: %s, want %s: %v", c.ID, c.Reached, wanted, c.Steps)
		}
	}
}

// A site of ours is in order for every family, over a certificate of Caddy's own
// authority, whatever is behind it and wherever it is.
func TestDoctorOfOwnSite(t *testing.T) {
	documents := harness.ServeDocuments(t)
	document := documents.Publish("client.json", "http://localhost/callback")
	g := harness.Run(t, harness.Config{
		TLS: true,
		Directives: identities + "insecure_allow_loopback\n" +
			"server one /one/mcp " + harness.Everything(t, true) + "\n" +
			"server two /two " + harness.Everything(t, false) + "\n" +
			"server root / " + harness.Record(t).URL,
		Env: append(documents.Env, keys...),
	})
	never := map[string]doctor.Reached{
		"2025-11-25-configured": doctor.Skipped, "hosted": doctor.Skipped, "http-sse": doctor.NotOffered,
	}
	for _, path := range []string{"/one/mcp", "/two", "/", ""} {
		for _, token := range []string{"", "{env.ALICE_KEY}"} {
			t.Run(path+" "+token, func(t *testing.T) {
				args := []string{"--ca", g.Root(), "--client-document", document, "--redirect-uri", "http://localhost:33418/callback"}
				want := doctor.Person
				if token != "" {
					args, want = append(args, "--token", token), doctor.Connected
				}
				e := examine(t, g.Command, g.URL+path, args...)
				e.mustFind(t)
				e.mustReach(t, want, never)
				if e.Status != 0 || e.Outcome != doctor.Healthy {
					t.Errorf("exit status %d, outcome %s", e.Status, e.Outcome)
				}
				for _, r := range e.Registrations {
					if !r.Deleted {
						t.Errorf("client %s is left behind: %s", r.ClientID, r.Left)
					}
				}
				if strings.Contains(e.Printed, aliceKey) {
					t.Errorf("the report has the key: %s", e.Printed)
				}
			})
		}
	}
}

// The exit status says whether all is well, something is wrong, or nobody knows.
func TestDoctorExitStatus(t *testing.T) {
	g := harness.Run(t, harness.Config{TLS: true, Directives: identities + "server one /mcp " + harness.Everything(t, true), Env: keys})
	for _, test := range []struct {
		name, url string
		args      []string
		status    int
		finds     []string
	}{
		{"any certificate", g.URL + "/mcp", []string{"--insecure"}, 0, []string{"no_documents"}},
		{"untrusted certificate", g.URL + "/mcp", nil, 1, []string{"certificate"}},
		{"no server there", g.URL + "/elsewhere", []string{"--insecure"}, 1, []string{"not_mcp"}},
		{"nobody there", "http://" + programs.FreeAddr(t) + "/mcp", nil, 2, nil},
		{"wrong token", g.URL + "/mcp", []string{"--insecure", "--token", "wrong", "--no-registration"}, 1, []string{"no_documents", "token_refused"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := examine(t, g.Command, test.url, test.args...)
			if e.Status != test.status {
				t.Errorf("exit status %d, want %d", e.Status, test.status)
			}
			e.mustFind(t, test.finds...)
		})
	}
	cmd := g.Command("mcp-oauth", "doctor", g.URL+"/mcp", "--token", "{env.NO_SUCH_VARIABLE}")
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "--token") {
		t.Errorf("a token that is not there: %v\n%s", err, out)
	}
}

// Of a site of the Caddy that runs here, what the site knows of a refusal is told with
// what a client saw of it.
func TestDoctorJoinsWhatWasLogged(t *testing.T) {
	g := harness.Run(t, harness.Config{
		TLS: true, Directives: identities + "insecure_allow_loopback\nserver one /mcp " + harness.Everything(t, true), Env: keys,
	})
	args := []string{"--insecure", "--client-document", "https://client.invalid/client.json", "--redirect-uri", "http://localhost:33418/callback"}
	for _, test := range []struct {
		name  string
		args  []string
		joins bool
	}{
		{"with the admin API", []string{"--config", g.Caddyfile}, true},
		{"without", []string{"--address", programs.FreeAddr(t)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := examine(t, g.Command, g.URL+"/mcp", append(args, test.args...)...)
			if e.Status != 1 {
				t.Errorf("exit status %d, want 1", e.Status)
			}
			at := slices.IndexFunc(e.Findings, func(f doctor.Finding) bool { return f.ID == "document_refused" })
			if at < 0 {
				t.Fatalf("document_refused is not found\n%s", e.Printed)
			}
			logged := strings.Join(e.Findings[at].Logged, "\n")
			if joined := strings.Contains(logged, "could not be fetched") && strings.Contains(logged, "At fault: "); joined != test.joins {
				t.Errorf("the log says %q", logged)
			}
		})
		// Until a fetch works again, a site no longer says that it takes documents.
		g.Stop(t)
		g.Restart(t)
	}
}
