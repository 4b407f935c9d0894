package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// adminSend sends JSON to Caddy's admin endpoint.
func adminSend(t *testing.T, addr, method, path, body string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := once.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer := status(t, res, want)
	checkAnswer(t, method, path, res.StatusCode, answer)
	return answer
}

// adminKey sends JSON about a virtual key, and returns the key in the answer.
func adminKey(t *testing.T, addr, method, path, body string, want int) adminapi.Key {
	t.Helper()
	text := adminSend(t, addr, method, path, body, want)
	var key adminapi.Key
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		t.Fatalf("got %s, error %v; want a key", text, err)
	}
	return key
}

// atKeys are the lines of a site that knows of virtual keys, with two servers.
func atKeys(up string) string {
	return "identity virtual_key\nidentity anonymous\nserver a /mcp " + up + "\nserver b /b " + up + "\n"
}

func (g *instance) callWith(path, token string, want int) {
	g.t.Helper()
	status(g.t, g.call("POST", path, initialize, "Authorization", "Bearer "+token), want)
}

// signInWith signs in on the page with a virtual key.
func (g *instance) signInWith(key string) string {
	g.t.Helper()
	g.identity, g.typed = "vk", url.Values{"vk": {key}}
	return g.signIn("client", g.url+"/mcp")
}

// An operator makes a virtual key while the site runs. It is a bearer token and
// signs a person in, and what the operator takes back ends at once and for good,
// with all that was approved. The key is shown once and kept nowhere.
func TestVirtualKeyAtRunTime_D09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := atKeys(up.URL)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	if !strings.Contains(g.log(), "nobody has a virtual key yet") {
		t.Error("the log does not say how to make a key")
	}
	g.callWith("/mcp", "mcpk_0123456789abcdefghijklmnopqrstuvwxyz0123456789AB", 401)
	made := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 201)
	if !regexp.MustCompile(`^mcpk_[-_0-9A-Za-z]{48}$`).MatchString(made.Key) || made.Name != "alice" || made.Site != g.url ||
		made.Source != "store" || made.Status != "active" || made.Servers != nil || made.CreatedAt.IsZero() {
		t.Fatalf("%+v", made)
	}
	canaries := []string{made.Key}
	var shown string
	show := func() string {
		t.Helper()
		text := admin(t, addr, "GET", "/mcp_oauth/keys/alice", 200)
		shown += text + admin(t, addr, "GET", "/mcp_oauth/keys", 200)
		return text
	}
	if text := show(); strings.Contains(text, "last_used_at") {
		t.Errorf("used before it was: %s", text)
	}
	g.callWith("/mcp", made.Key, 200)
	g.callWith("/b", made.Key, 200)
	if text := show(); !strings.Contains(text, `"last_used_at":"`+time.Now().UTC().Format("2006-01-02T")) {
		t.Errorf("the last use is not shown: %s", text)
	}
	refused := func(answer, why string) {
		t.Helper()
		g.callWith("/mcp", accessToken(t, answer), 401)
		if got := g.refresh(answer, 400); !strings.Contains(got, "invalid_grant") {
			t.Errorf("%s: refreshed: %s", why, got)
		}
		if list := grantsAt(t, addr, "?subject=virtual_key:alice"); len(list.Grants) != 0 {
			t.Errorf("%s: grants are left: %+v", why, list)
		}
	}

	answer := g.signInWith(made.Key)
	g.callWith("/mcp", accessToken(t, answer), 200)
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"servers":["b"]}`, 200)
	g.callWith("/mcp", made.Key, 401)
	g.callWith("/b", made.Key, 200)
	refused(answer, "narrowed")
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"servers":null}`, 200)
	g.callWith("/mcp", made.Key, 200)
	refused(answer, "given back")

	answer = g.signInWith(made.Key)
	if key := adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"disabled":true}`, 200); key.Status != "disabled" || key.Key != "" {
		t.Errorf("%+v", key)
	}
	g.callWith("/b", made.Key, 401)
	refused(answer, "disabled")
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"disabled":false}`, 200)
	g.callWith("/mcp", made.Key, 200)
	refused(answer, "enabled")

	before := g.signInWith(made.Key)
	rotated := adminKey(t, addr, "POST", "/mcp_oauth/keys/alice/rotate", ``, 200)
	canaries = append(canaries, rotated.Key)
	if left := time.Until(rotated.FormerUntil); rotated.Key == made.Key || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("%+v", rotated)
	}
	after := g.signInWith(rotated.Key)
	for _, token := range []string{made.Key, rotated.Key, accessToken(t, before), accessToken(t, after)} {
		g.callWith("/mcp", token, 200)
	}
	again := adminKey(t, addr, "POST", "/mcp_oauth/keys/alice/rotate", `{"overlap":"1h"}`, 200)
	canaries = append(canaries, again.Key)
	g.callWith("/mcp", made.Key, 401)
	g.callWith("/mcp", accessToken(t, before), 401)
	for _, token := range []string{rotated.Key, again.Key, accessToken(t, after)} {
		g.callWith("/mcp", token, 200)
	}
	last := adminKey(t, addr, "POST", "/mcp_oauth/keys/alice/rotate", `{"overlap":"0s"}`, 200)
	canaries = append(canaries, last.Key)
	for _, token := range []string{rotated.Key, again.Key} {
		g.callWith("/mcp", token, 401)
	}
	refused(after, "rotated twice")
	g.callWith("/mcp", last.Key, 200)

	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1))
	g.callWith("/mcp", last.Key, 200)
	answer = g.signInWith(last.Key)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1))
	if text := show(); !strings.Contains(text, "last_used_at") {
		t.Errorf("the last use is forgotten: %s", text)
	}
	g.callWith("/mcp", last.Key, 200)
	g.callWith("/mcp", accessToken(t, answer), 200)
	adminSend(t, addr, "DELETE", "/mcp_oauth/keys/alice", "", 200)
	g.callWith("/mcp", last.Key, 401)
	refused(answer, "deleted")
	adminSend(t, addr, "GET", "/mcp_oauth/keys/alice", "", 404)
	another := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 201)
	canaries = append(canaries, another.Key)
	refused(answer, "made again")
	if text := show(); strings.Contains(text, "last_used_at") {
		t.Errorf("the last use of another key is shown: %s", text)
	}

	for what, text := range map[string]string{"log": g.log(), "answers of the admin API": shown, "database": g.files()} {
		for i, canary := range canaries {
			if strings.Contains(text, canary) || strings.Contains(text, canary[len("mcpk_"):]) {
				t.Errorf("the %s has key %d", what, i)
			}
		}
	}
	for _, line := range []string{"virtual key made", `"reason":"changed"`, `"reason":"rotated"`, "virtual key deleted"} {
		if !strings.Contains(g.log(), line) {
			t.Errorf("the log has no line %q", line)
		}
	}
}

// files returns all that Caddy and the sites keep on disk.
func (g *instance) files() string {
	g.t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(g.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return all.String()
}

// E18: streams end with the key that opened them, and with the one that their
// person signed in with. Those of others go on.
func TestVirtualKeyEndsStreams_E18(t *testing.T) {
	up, next := eventStream(t)
	lines := atKeys(up.URL)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	aliceKey := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 201).Key
	bobKey := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"bob"}`, 201).Key
	open := func(token string) io.Reader {
		t.Helper()
		stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
		if got, err := readEvent(stream); got != "open" {
			t.Fatalf("got %v, error %v; want %v", got, err, "open")
		}
		return stream
	}
	byKey, byToken, ofBob := open(aliceKey), open(accessToken(t, g.signInWith(aliceKey))), open(bobKey)
	adminKey(t, addr, "POST", "/mcp_oauth/keys/alice/rotate", `{"overlap":"1h"}`, 200)
	stateOf(t, g).recheck(context.Background())
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"disabled":true}`, 200)
	stateOf(t, g).recheck(context.Background())
	for name, stream := range map[string]io.Reader{"key": byKey, "token": byToken} {
		if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
			t.Errorf("the stream by %s goes on: %q, %v", name, got, err)
		}
	}
	done := make(chan struct{})
	go func() { // the upstream may not have noticed yet that the others ended
		defer close(next)
		for {
			select {
			case next <- "more":
			case <-done:
				return
			}
		}
	}()
	defer close(done)
	if got, err := readEvent(ofBob); got != "more" {
		t.Errorf("the stream of somebody else: %q, %v", got, err)
	}
}

// A key ends when it expires, by the clock alone, and what was approved with it
// does too. A longer life revives nothing.
func TestVirtualKeyExpires_D09(t *testing.T) {
	lines := atKeys(oauthtest.Serve(t, nil).URL)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	made := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice","expires_in":"1h"}`, 201)
	g.callWith("/mcp", made.Key, 200)
	answer := g.signInWith(made.Key)
	soon := adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"expires_in":"1s"}`, 200)
	time.Sleep(time.Until(soon.ExpiresAt))
	g.callWith("/mcp", made.Key, 401)
	oauthtest.Eventually(t, "the grant does not end", func() bool { return len(grantsAt(t, addr, "?subject=virtual_key:alice").Grants) == 0 })
	if key := adminKey(t, addr, "GET", "/mcp_oauth/keys/alice", "", 200); key.Status != "expired" {
		t.Errorf("%+v", key)
	}
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"expires_in":"1h"}`, 200)
	g.callWith("/mcp", made.Key, 200)
	g.callWith("/mcp", accessToken(t, answer), 401)
	g.refresh(answer, 400)
	if key := adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"expires_at":null}`, 200); !key.ExpiresAt.IsZero() {
		t.Errorf("%+v", key)
	}
}

// What an operator gets wrong is answered with what to do, and changes nothing.
func TestVirtualKeyMistakes(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := people("alice") + "server a /mcp " + up.URL + "\nserver b /b " + up.URL + "\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"bob"}`, 201)
	before := admin(t, addr, "GET", "/mcp_oauth/keys", 200)
	past := time.Now().Add(-time.Minute).Format(time.RFC3339)
	for name, test := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"no name":              {"POST", "", `{}`, 400, `\"\" cannot be the name of a key`},
		"space at the end":     {"POST", "", `{"name":"carol "}`, 400, "without space at the ends"},
		"invisible character":  {"POST", "", `{"name":"ca\u200brol"}`, 400, "visible characters"},
		"slash":                {"POST", "", `{"name":"a/b"}`, 400, "without /"},
		"dots":                 {"POST", "", `{"name":".."}`, 400, "cannot be the name of a key"},
		"long name":            {"POST", "", `{"name":"` + strings.Repeat("x", 256) + `"}`, 400, "1 to 255"},
		"there is one":         {"POST", "", `{"name":"bob"}`, 409, "there is a virtual key bob already; choose another name"},
		"looks like one":       {"POST", "", `{"name":"ＢＯＢ"}`, 409, "there is a virtual key bob already, which looks like ＢＯＢ"},
		"configured":           {"POST", "", `{"name":"alice"}`, 409, "there is a virtual key alice in the configuration"},
		"looks configured":     {"POST", "", `{"name":"ALICE"}`, 409, "there is a virtual key alice in the configuration, which looks like ALICE"},
		"unknown server":       {"POST", "", `{"name":"carol","servers":["c"]}`, 400, `servers: there is no server \"c\"`},
		"server twice":         {"POST", "", `{"name":"carol","servers":["a","a"]}`, 400, "servers: server a is listed twice"},
		"no server":            {"POST", "", `{"name":"carol","servers":[]}`, 400, "servers has none; leave it out"},
		"servers as text":      {"POST", "", `{"name":"carol","servers":"a"}`, 400, "servers is a list of ids or null"},
		"expired":              {"POST", "", `{"name":"carol","expires_at":"` + past + `"}`, 400, "expire in the past"},
		"no time":              {"POST", "", `{"name":"carol","expires_at":"tomorrow"}`, 400, "expires_at a time such as"},
		"no duration":          {"POST", "", `{"name":"carol","expires_in":"soon"}`, 400, "expires_in is a duration"},
		"negative duration":    {"POST", "", `{"name":"carol","expires_in":"-1h"}`, 400, "expires_in is a duration"},
		"both ends":            {"POST", "", `{"name":"carol","expires_in":"1h","expires_at":"2099-01-01T00:00:00Z"}`, 400, "send one of them"},
		"unknown member":       {"POST", "", `{"name":"carol","server":["a"]}`, 400, `there is no member \"server\"`},
		"member twice":         {"POST", "", `{"name":"carol","name":"dave"}`, 400, "each member once"},
		"no JSON":              {"POST", "", `name=carol`, 400, "send one JSON object"},
		"two objects":          {"POST", "", `{"name":"carol"}{}`, 400, "send one JSON object"},
		"large":                {"POST", "", `{"name":"` + strings.Repeat("x", 70_000) + `"}`, 400, "send one JSON object"},
		"unknown parameter":    {"GET", "?name=bob", "", 400, `there is no parameter \"name\"; use one of: site, server, status, limit, after`},
		"parameter twice":      {"GET", "?limit=1&limit=2", "", 400, "limit is there twice"},
		"limit":                {"GET", "?limit=0", "", 400, "limit is a number from 1 to 1000"},
		"unknown site":         {"GET", "?site=https://other.example", "", 404, "use the public URL of one of: " + g.url},
		"method":               {"PUT", "", `{}`, 405, "use GET or POST"},
		"unknown key":          {"GET", "/carol", "", 404, "there is no virtual key of this name"},
		"unknown action":       {"POST", "/bob/disable", `{}`, 404, "/rotate"},
		"malformed name":       {"DELETE", "/%2", "", 400, ""},
		"delete unknown":       {"DELETE", "/carol", "", 404, "there is no virtual key of this name"},
		"delete look-alike":    {"DELETE", "/BOB", "", 404, "there is no virtual key of this name"},
		"delete configured":    {"DELETE", "/alice", "", 409, "alice is a key of the configuration; change it there"},
		"change configured":    {"PATCH", "/alice", `{"disabled":true}`, 409, "alice is a key of the configuration; change it there"},
		"rotate configured":    {"POST", "/alice/rotate", ``, 409, "alice is a key of the configuration; change it there"},
		"disabled as null":     {"PATCH", "/bob", `{"disabled":null}`, 400, "disabled true or false"},
		"change nothing":       {"PATCH", "/bob", `{}`, 400, "say what to change"},
		"rename":               {"PATCH", "/bob", `{"name":"carol"}`, 400, "there is no member \\\"name\\\""},
		"change to no server":  {"PATCH", "/bob", `{"servers":["c"]}`, 400, "there is no server"},
		"long overlap":         {"POST", "/bob/rotate", `{"overlap":"366d"}`, 400, "0s to 365d"},
		"negative overlap":     {"POST", "/bob/rotate", `{"overlap":"-1s"}`, 400, "0s to 365d"},
		"no overlap":           {"POST", "/bob/rotate", `{"overlap":"soon"}`, 400, "overlap is a duration"},
		"unknown of rotation":  {"POST", "/bob/rotate", `{"servers":["a"]}`, 400, "there is no member"},
		"wrong connections":    {"DELETE", "/bob?connections=yes", "", 400, "connections is true or false"},
		"parameter of another": {"DELETE", "/bob?subject=x", "", 400, "there is no parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "malformed name" {
				t.Skip("no client sends it")
			}
			if got := adminSend(t, addr, test.method, "/mcp_oauth/keys"+test.path, test.body, test.status); !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := admin(t, addr, "POST", "/mcp_oauth/keys", 415); !strings.Contains(got, "Content-Type: application/json") {
		t.Errorf("got %s", got)
	}
	if after := admin(t, addr, "GET", "/mcp_oauth/keys", 200); after != before {
		t.Errorf("got %s, want %s", after, before)
	}
}

// What a key can be called can be called on in a URL.
func TestVirtualKeyNames(t *testing.T) {
	lines := atKeys(oauthtest.Serve(t, nil).URL)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	for _, name := range []string{"Jane Döe +1 %?#&=", "100%", "a.b", "..a", "日本", `"quoted"`, "a\\b", "%2e%2e", strings.Repeat("x", 255)} {
		body, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		made := adminKey(t, addr, "POST", "/mcp_oauth/keys", string(body), 201)
		path := "/mcp_oauth/keys/" + url.PathEscape(name)
		if got := adminKey(t, addr, "GET", path, "", 200); got.Name != name {
			t.Errorf("got %q, want %q", got.Name, name)
		}
		rotated := adminKey(t, addr, "POST", path+"/rotate", `{"overlap":"0s"}`, 200)
		g.callWith("/mcp", rotated.Key, 200)
		g.callWith("/mcp", made.Key, 401)
		adminKey(t, addr, "DELETE", path, "", 200)
		g.callWith("/mcp", rotated.Key, 401)
	}
}

// A site that knows of no virtual keys gets none: its configuration was judged
// without them.
func TestVirtualKeyAtASiteWithout(t *testing.T) {
	lines := "identity anonymous\nserver a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	if got := adminSend(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 409); !strings.Contains(got, "add `identity virtual_key`") {
		t.Errorf("got %s", got)
	}
}

// The keys of two sites are apart, and where both could be meant an operator says
// which.
func TestVirtualKeysOfTwoSites_F11(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := atKeys(up.URL)
	g := newGateway(t, lines)
	addr, otherAddr := freeAddr(t), freeAddr(t)
	other := "http://" + otherAddr
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1) +
		fmt.Sprintf("%s {\nbind 127.0.0.1\nmcp_oauth {\n%s}\n}\n", other, lines))
	if got := adminSend(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 409); !strings.Contains(got, "?site=") || !strings.Contains(got, other) {
		t.Errorf("got %s", got)
	}
	here := adminKey(t, addr, "POST", "/mcp_oauth/keys?site="+g.url, `{"name":"alice"}`, 201)
	bob := adminKey(t, addr, "POST", "/mcp_oauth/keys?site="+other, `{"name":"bob"}`, 201)
	there := adminKey(t, addr, "POST", "/mcp_oauth/keys?site="+other, `{"name":"alice"}`, 201)
	at := *g
	at.url, at.addr = other, otherAddr
	g.callWith("/mcp", here.Key, 200)
	g.callWith("/mcp", there.Key, 401)
	at.callWith("/mcp", there.Key, 200)
	at.callWith("/mcp", here.Key, 401)
	if got := adminSend(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"disabled":true}`, 409); !strings.Contains(got, "several sites have a key of this name") {
		t.Errorf("got %s", got)
	}
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/bob", `{"disabled":true}`, 200) // only one site has it
	at.callWith("/mcp", bob.Key, 401)
	adminSend(t, addr, "DELETE", "/mcp_oauth/keys/alice?site="+g.url, "", 200)
	g.callWith("/mcp", here.Key, 401)
	at.callWith("/mcp", there.Key, 200)
	adminKey(t, addr, "POST", "/mcp_oauth/keys?site="+g.url, `{"name":"zoe"}`, 201)

	var seen []string
	for after, pages := "", 0; ; pages++ {
		var page adminapi.Keys
		text := admin(t, addr, "GET", "/mcp_oauth/keys?limit=2&after="+url.QueryEscape(after), 200)
		if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Keys) > 2 || pages > 3 {
			t.Fatalf("page %d: %s %v", pages, text, err)
		}
		for _, k := range page.Keys {
			seen = append(seen, k.Site+" "+k.Name)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	want := []string{g.url + " zoe", other + " alice", other + " bob"}
	if other < g.url {
		want = []string{other + " alice", other + " bob", g.url + " zoe"}
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

// When the configuration takes the name of a key that was made at run time, that
// key is disabled, and stays so when the configuration gives the name up.
func TestConfigurationTakesAName_D09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := atKeys(up.URL)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	made := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"Alice"}`, 201)
	answer := g.signInWith(made.Key)
	g.withAdminAt(addr, people("alice")+"server a /mcp "+up.URL+"\nserver b /b "+up.URL+"\n")
	g.callWith("/mcp", made.Key, 401)
	g.callWith("/mcp", keyOf("alice"), 200)
	g.callWith("/mcp", accessToken(t, answer), 401)
	oauthtest.Eventually(t, "the log does not say it", func() bool { return strings.Contains(g.log(), "the configuration has one of its name now") })
	if got := adminSend(t, addr, "PATCH", "/mcp_oauth/keys/Alice", `{"disabled":false}`, 409); !strings.Contains(got, "in the configuration") {
		t.Errorf("got %s", got)
	}
	g.withAdminAt(addr, lines)
	g.callWith("/mcp", made.Key, 401)
	if key := adminKey(t, addr, "GET", "/mcp_oauth/keys/Alice", "", 200); key.Status != "disabled" {
		t.Errorf("%+v", key)
	}
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/Alice", `{"disabled":false}`, 200)
	g.callWith("/mcp", made.Key, 200)
	g.refresh(answer, 400)
}

// To delete the key whose name the configuration took, as the log says, ends
// nothing that rests on the configured one.
func TestDeleteTheKeyOfATakenName(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := atKeys(up.URL)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 201)
	g.withAdminAt(addr, people("alice")+"server a /mcp "+up.URL+"\nserver b /b "+up.URL+"\n")
	oauthtest.Eventually(t, "the log does not say it", func() bool { return strings.Contains(g.log(), "the configuration has one of its name now") })
	answer := g.signInWith(keyOf("alice"))
	if got := adminSend(t, addr, "DELETE", "/mcp_oauth/keys/alice?connections=true", "", 409); !strings.Contains(got, "leave out connections") {
		t.Errorf("got %s", got)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/keys/alice", 200)
	g.callWith("/mcp", accessToken(t, answer), 200)
	if got := adminSend(t, addr, "DELETE", "/mcp_oauth/keys/alice", "", 409); !strings.Contains(got, "alice is a key of the configuration; change it there") {
		t.Errorf("got %s", got)
	}
}

// withAdminAt is withAdmin at an address.
func (g *instance) withAdminAt(addr, lines string) {
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1))
}

// A key in a file is replaced by writing another one there: without restart, and
// with all that was approved with the one before. What is no key changes nothing.
func TestVirtualKeyInAFileChanges_D09(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alice")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const first, second, third = "first-vK3wq9ZpL0x2Rt", "second-Q8fJc51nWs7Ty", "third-h2LmX04bEk9Zd"
	write(first + "\n")
	up := oauthtest.Serve(t, nil)
	lines := "identity virtual_key\nidentity anonymous\nvirtual_key alice {file." + file + "}\nvirtual_key bob sha256:" +
		strings.SplitN(people("bob"), "sha256:", 2)[1] + "server a /mcp " + up.URL + "\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	g.callWith("/mcp", first, 200)
	answer := g.signInWith(first)
	token := accessToken(t, answer)
	for what, text := range map[string]string{"empty": "", "short": "x", "guessable": "passwordpassword", "of another": keyOf("bob")} {
		write(text)
		oauthtest.Eventually(t, "the log does not say it", func() bool { return strings.Contains(g.log(), "the one that was there before stays good until it has") })
		g.callWith("/mcp", first, 200)
		if n := g.logged("stays good until it has"); n == 0 {
			t.Errorf("%s: %d lines", what, n)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refreshKeys(t, 3)
	g.callWith("/mcp", first, 200)
	if got := g.logged("no such file"); got != 1 {
		t.Errorf("the log says %d times that there is no file, want once", got)
	}
	write(second)
	oauthtest.Eventually(t, "the log does not say it", func() bool { return g.logged("Its file has another key") == 1 })
	g.callWith("/mcp", second, 200)
	g.callWith("/mcp", first, 401)
	g.callWith("/mcp", token, 401)
	oauthtest.Eventually(t, "the grant does not end", func() bool { return len(grantsAt(t, addr, "?subject=virtual_key:alice").Grants) == 0 })
	write(first)
	oauthtest.Eventually(t, "the log does not say it", func() bool { return g.logged("Its file has another key") == 2 })
	g.callWith("/mcp", first, 200)
	g.callWith("/mcp", token, 401)
	g.refresh(answer, 400)
	write(third[:18]) // half written, and then the rest
	refreshKeys(t, 1)
	write(third)
	refreshKeys(t, 1)
	g.callWith("/mcp", third[:18], 401)
	refreshKeys(t, 1)
	g.callWith("/mcp", third, 200)
	for _, key := range []string{first, second, third, third[:18]} {
		if strings.Contains(g.log(), key) {
			t.Errorf("the log has %s", key)
		}
	}
}

// refreshKeys looks after the keys as often, now.
func refreshKeys(t *testing.T, times int) {
	t.Helper()
	for range times {
		if err := activeApp().virtualKeys.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := activeApp().virtualKeys.End(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// A site with several addresses is several handlers, which have the same keys: a
// change at one of them is one at all.
func TestVirtualKeyAtAllAddresses(t *testing.T) {
	lines := atKeys(oauthtest.Serve(t, nil).URL)
	g := newGateway(t, lines)
	addr, second := freeAddr(t), freeAddr(t)
	file := t.TempDir() + "/zoe"
	if err := os.WriteFile(file, []byte("first-vK3wq9ZpL0x2Rt"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(g.caddyfile("public_url "+g.url+"\nvirtual_key zoe {file."+file+"}\n"+lines), "admin off", "admin "+addr, 1)
	g.load(strings.Replace(text, "\n"+g.url+" {", "\n"+g.url+", http://"+second+" {", 1))
	_, port, _ := strings.Cut(second, ":")
	both := func(key string, want int) {
		t.Helper()
		for _, to := range []string{g.url, "http://127.0.0.1:" + port} {
			at := *g
			at.url = to
			host := strings.TrimPrefix(g.url, "http://")
			status(t, at.call("POST", "/mcp", initialize, "Authorization", "Bearer "+key, "Host", host), want)
		}
	}
	made := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 201)
	both(made.Key, 200)
	adminKey(t, addr, "PATCH", "/mcp_oauth/keys/alice", `{"disabled":true}`, 200)
	both(made.Key, 401)
	if err := os.WriteFile(file, []byte("second-Q8fJc51nWs7Ty"), 0o600); err != nil {
		t.Fatal(err)
	}
	refreshKeys(t, 2)
	both("second-Q8fJc51nWs7Ty", 200)
	both("first-vK3wq9ZpL0x2Rt", 401)
}
