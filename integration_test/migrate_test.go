//go:build integration

package integration_test

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// redeemed is an application that somebody approved, with what is spent of it: its code,
// and the refresh tokens before the last.
type redeemed struct {
	client *harness.Client
	code   url.Values
	spent  []string
	now    harness.Tokens
}

func (w *own) redeem(t *testing.T, who *resident) *redeemed {
	t.Helper()
	client, link := w.link(t, "/notes")
	answer := who.approve(t, link, titles["/notes"]).Leaving
	r := &redeemed{client: client, now: client.Redeem(t, answer, w.URL+"/notes"), code: url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.Query().Get("code")}, "code_verifier": {client.Verifier},
		"redirect_uri": {client.RedirectURI}, "client_id": {client.ID},
	}}
	r.refresh(t)
	r.refresh(t)
	return r
}

func (r *redeemed) refresh(t *testing.T) {
	t.Helper()
	r.spent = append(r.spent, r.now.RefreshToken)
	r.now = r.client.Refresh(t, r.now.RefreshToken)
}

// refused sends a token request that must be refused with invalid_grant.
func (w *own) refused(t *testing.T, form url.Values) {
	t.Helper()
	resp, err := http.PostForm(w.URL+"/api/oauth/per-user/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Error string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 400 || answer.Error != "invalid_grant" {
		t.Errorf("a spent %s gets %s, %q, %v; want 400 with invalid_grant", form.Get("grant_type"), resp.Status, answer.Error, err)
	}
}

func (r *redeemed) reuse(n int) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.spent[n]}, "client_id": {r.client.ID}}
}

// goesOn calls with the token from before, which takes the account, renews it, and looks
// who is signed in at the pages.
func (w *own) goesOn(t *testing.T, who *resident, r *redeemed) {
	t.Helper()
	for range 2 {
		answer, result, err := callWhoAmI(t, connect(t, with(r.now.AccessToken, w.URL+"/notes"), nil, "2026-07-28"))
		if err != nil || result.IsError || answer.Account != who.account {
			t.Fatalf("called as %+v, %+v, %v; want %s", answer, result, err, who.account)
		}
		r.refresh(t)
	}
	who.browser.Open(t, w.URL+"/oauth/account").MustShow(t, "Notes")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// isOver tells that the family was ended.
func (w *own) isOver(t *testing.T, r *redeemed) {
	t.Helper()
	w.refused(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.now.RefreshToken}, "client_id": {r.client.ID}})
}

// Everything goes on when the records are moved from a file to PostgreSQL, and back:
// tokens pass and rotate, accounts are refreshed, people are signed in; what was spent
// stays spent. What PostgreSQL dumps has no token.
func TestMigrate_M01_M08(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	t.Setenv("DSN", server.DSN())
	w := runOwn(t, 5*time.Second, "")
	onFile := filepath.Join(w.Dir, "Caddyfile.file")
	onPostgres := filepath.Join(w.Dir, "Caddyfile.postgres")
	file := "storage bbolt {\n\t\t\tpath " + w.Dir + "/mcp_oauth.db\n\t\t}"
	text := read(t, w.Caddyfile)
	if !strings.Contains(text, file) {
		t.Fatal("the gateway keeps its records elsewhere")
	}
	write(t, onFile, text)
	write(t, onPostgres, strings.Replace(text, file, "storage postgres {env.DSN}", 1))

	people := residents(t)
	ada, bea := people[0], people[1]
	first, codeTwice, tokenTwice := w.redeem(t, ada), w.redeem(t, bea), w.redeem(t, bea)
	_, said, err := mcpOAuth(w.Gateway, nil, "migrate", "--from", onFile, "--to", onPostgres, "--yes")
	if err == nil || !strings.Contains(said, "stop it first") {
		t.Errorf("moved from a file that a Caddy has: %v, %q", err, said)
	}
	w.Stop(t)
	before := w.moved(t, "--from", onFile, "--to", onPostgres, "--dry-run")
	w.killed(t, "--from", onFile, "--to", onPostgres, "--yes")
	w.moved(t, "--from", onFile, "--to", onPostgres, "--yes")
	after := w.moved(t, "--from", onPostgres, "--to", onFile, "--dry-run", "--discard-target")
	if before != after || !strings.Contains(after, `"grants"`) {
		t.Errorf("moved %s\nwant %s", after, before)
	}
	if again := w.moved(t, "--from", onFile, "--to", onPostgres, "--yes"); again != "null" {
		t.Errorf("moved again: %s", again)
	}
	w.Configure(t, read(t, onPostgres))
	w.Restart(t)
	w.goesOn(t, ada, first)
	w.refused(t, codeTwice.code)
	w.isOver(t, codeTwice)
	w.refused(t, tokenTwice.reuse(0)) // its record was gone before the move
	w.isOver(t, tokenTwice)
	later := w.redeem(t, bea)
	w.noSecretIn(t, dump(t, server), first, codeTwice, tokenTwice, later)

	w.Stop(t)
	_, said, err = mcpOAuth(w.Gateway, nil, "migrate", "--from", onPostgres, "--to", onFile, "--yes")
	if err == nil || !strings.Contains(said, "--discard-target") {
		t.Errorf("moved over what was there: %v, %q", err, said)
	}
	w.moved(t, "--from", onPostgres, "--to", onFile, "--yes", "--discard-target")
	w.Configure(t, text)
	w.Restart(t)
	w.goesOn(t, ada, first)
	w.refused(t, later.reuse(0))
	w.isOver(t, later)
	w.isOver(t, codeTwice)
	if counts := w.provider.Counts(t); counts.Refreshes == 0 || counts.Registrations != 1 {
		t.Errorf("at the provider: %+v, want accounts to be refreshed, and the site to be known as before", counts)
	}
}

// killed runs the command, and kills it later each time.
func (w *own) killed(t *testing.T, args ...string) {
	t.Helper()
	for n := range 12 {
		cmd := w.Command(append([]string{"mcp-oauth", "migrate"}, args...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n+1) * 60 * time.Millisecond) // wherever it is by then
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// moved runs the command and returns what it counted.
func (w *own) moved(t *testing.T, args ...string) string {
	t.Helper()
	out, said, err := mcpOAuth(w.Gateway, nil, append([]string{"migrate", "--json"}, args...)...)
	if err != nil {
		t.Fatalf("%v: %v, %s", args, err, said)
	}
	var answer struct{ Counts json.RawMessage }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("%v: %v in %s", args, err, out)
	}
	if answer.Counts == nil {
		return "null"
	}
	return string(answer.Counts)
}

// dump is what pg_dump writes of everything.
func dump(t *testing.T, server *pgtest.Server) string {
	t.Helper()
	program, err := exec.LookPath("pg_dump")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if len(found) == 0 {
			t.Fatal("there is no pg_dump")
		}
		program = found[len(found)-1]
	}
	out, err := exec.CommandContext(t.Context(), program, "-d", server.DSN()).Output()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out); strings.Contains(text, "COPY mcp_oauth.grants") {
		return text
	}
	t.Fatal("there are no grants in the dump")
	return ""
}

// noSecretIn looks for what is good for something, as text and as bytes are dumped.
func (w *own) noSecretIn(t *testing.T, dump string, all ...*redeemed) {
	t.Helper()
	secrets := append([]string{}, keys...)
	for _, r := range all {
		secrets = append(append(secrets, r.spent...), r.now.AccessToken, r.now.RefreshToken, r.code.Get("code"))
	}
	for _, server := range w.servers {
		for _, seen := range server.Seen() {
			secrets = append(secrets, seen.Token)
		}
	}
	looked := 0
	for _, secret := range secrets {
		if _, value, named := strings.Cut(secret, "="); named && strings.HasSuffix(strings.SplitN(secret, "=", 2)[0], "_KEY") {
			secret = value
		}
		if len(secret) < 8 {
			continue
		}
		looked++
		if strings.Contains(dump, secret) || strings.Contains(dump, hex.EncodeToString([]byte(secret))) {
			t.Errorf("%q is in the dump", secret)
		}
	}
	if looked < 15 {
		t.Errorf("looked for %d secrets only", looked)
	}
	if name := hex.EncodeToString([]byte(all[0].client.ID)); !strings.Contains(dump, name) {
		t.Error("the dump has no client: nothing would be found in it")
	}
}
