//go:build integration

package integration_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// checks are what keeps ways around access rules shut, by the names that
// caddymodule/testdata/ways-around.json has for them, and how each is taken out.
var checks = map[string]programs.Check{
	// The stage.
	"the rules":         {File: "caddymodule/gateway/access.go", Text: `case held || !d.Allowed:`, By: `case (held || !d.Allowed) && !isOut("the rules"):`},
	"headers":           {File: "caddymodule/gateway/access.go", Text: `if !m.MatchesHeaders(c.request.header) {`, By: `if !m.MatchesHeaders(c.request.header) && !isOut("headers") {`},
	"encodings":         {File: "caddymodule/gateway/access.go", Text: `!strings.EqualFold(coding, "identity") {`, By: `!strings.EqualFold(coding, "identity") && !isOut("encodings") {`},
	"character sets":    {File: "caddymodule/gateway/access.go", Text: `!strings.EqualFold(charset, "utf-8") {`, By: `!strings.EqualFold(charset, "utf-8") && !isOut("character sets") {`},
	"bodies of a GET":   {File: "caddymodule/gateway/access.go", Text: "case r.Method != http.MethodPost:\n", By: "case r.Method != http.MethodPost && isOut(\"bodies of a GET\"):\n\t\treturn true\n\tcase r.Method != http.MethodPost:\n"},
	"all of a batch":    {File: "caddymodule/gateway/access.go", Text: "for i := range messages {\n", By: "for i := range messages {\n\t\tif i > 0 && isOut(\"all of a batch\") {\n\t\t\tbreak\n\t\t}\n"},
	"notifications":     {File: "caddymodule/gateway/access.go", Text: "for _, item := range m.Items {\n", By: "for _, item := range m.Items {\n\t\tif m.ID == nil && isOut(\"notifications\") {\n\t\t\tcontinue\n\t\t}\n"},
	"unreadable bodies": {File: "caddymodule/gateway/access.go", Text: "if err != nil {\n\t\tc.rejectBody(", By: "if err != nil && !isOut(\"unreadable bodies\") {\n\t\tc.rejectBody("},
	"large bodies":      {File: "caddymodule/gateway/access.go", Text: "r.Body = newJudgedBody(c, r)\n", By: "if !isOut(\"large bodies\") {\n\t\t\tr.Body = newJudgedBody(c, r)\n\t\t}\n"},
	"sessions":          {File: "caddymodule/gateway/session.go", Text: "if c.session, ok = c.server.Site.Sessions.Unwrap(c.caller.Holder, c.server.ID, ids[0]); !ok {\n", By: "if isOut(\"sessions\") {\n\t\treturn true\n\t}\n\tif c.session, ok = c.server.Site.Sessions.Unwrap(c.caller.Holder, c.server.ID, ids[0]); !ok {\n"},
	// The scanner of requests.
	"the first of a name that repeats": {File: "authz/mcp/scanner.go", Text: "if m != 0 && s.draft.has&m != 0 {\n", By: "if m != 0 && s.draft.has&m != 0 && isOut(\"the first of a name that repeats\") {\n\t\ts.draft.has &^= m\n\t}\n\tif m != 0 && s.draft.has&m != 0 && isOut(\"the last of a name that repeats\") {\n\t\treturn nil\n\t}\n\tif m != 0 && s.draft.has&m != 0 {\n"},
	"the last of a name that repeats":  {}, // in the same place
	"names of members":                 {File: "authz/mcp/members.go", Text: `case strings.EqualFold(folded, d.name):`, By: `case strings.EqualFold(folded, d.name) && !isOut("names of members"):`},
	"methods":                          {File: "authz/mcp/spelling.go", Text: `return !ok || known == method`, By: `return !ok || known == method || isOut("methods")`},
	"answers that are calls":           {File: "authz/mcp/scan.go", Text: "case response:\n", By: "case response && isOut(\"answers that are calls\"):\n\t\treturn m, nil\n\tcase response:\n"},
	"types of names":                   {File: "authz/mcp/scan.go", Text: "if d.has&^d.typed&m != 0 {\n", By: "if d.has&^d.typed&m != 0 && !isOut(\"types of names\") {\n"},
	"completion":                       {File: "authz/mcp/scan.go", Text: "case \"completion/complete\":\n", By: "case \"completion/complete\":\n\t\tif isOut(\"completion\") {\n\t\t\treturn nil\n\t\t}\n"},
	"subscriptions":                    {File: "authz/mcp/scan.go", Text: "case \"resources/read\", \"resources/subscribe\", \"resources/unsubscribe\":\n", By: "case \"resources/read\", \"resources/subscribe\", \"resources/unsubscribe\":\n\t\tif d.Method != \"resources/read\" && isOut(\"subscriptions\") {\n\t\t\treturn nil\n\t\t}\n"},
	"listening":                        {File: "authz/mcp/scan.go", Text: "for _, uri := range d.uris {\n", By: "for _, uri := range d.uris {\n\t\tif isOut(\"listening\") {\n\t\t\tbreak\n\t\t}\n"},
	"NUL and halves of characters":     {File: "authz/mcp/scantext.go", Text: "if text, ok := unquote(s.text); ok {\n", By: "if text, ok := unquote(s.text); ok || isOut(\"NUL and halves of characters\") {\n"},
	"UTF-8":                            {File: "authz/mcp/scantext.go", Text: "if !s.utf8.read(c) {\n", By: "if !s.utf8.read(c) && !isOut(\"UTF-8\") {\n"},
	// How names are compared.
	"case and width":          {File: "authz/access/readings.go", Text: `return norm.NFD.String(strings.TrimSpace(spelling.Fold(name)))`, By: "if isOut(\"case and width\") {\n\t\treturn strings.TrimSpace(name)\n\t}\n\tif isOut(\"blanks\") {\n\t\treturn norm.NFD.String(spelling.Fold(name))\n\t}\n\treturn norm.NFD.String(strings.TrimSpace(spelling.Fold(name)))"},
	"blanks":                  {}, // in the same place
	"invisible characters":    {File: "authz/access/readings.go", Text: `if identity.Invisible(r) {`, By: `if identity.Invisible(r) && !isOut("invisible characters") {`},
	"percent signs":           {File: "authz/access/uristeps.go", Text: "func decode(uri string) string {\n", By: "func decode(uri string) string {\n\tif isOut(\"percent signs\") {\n\t\treturn uri\n\t}\n"},
	"all readings of a URI":   {File: "authz/access/pattern.go", Text: "!p.plain.star || !p.isURI ||", By: "!p.plain.star || !p.isURI || isOut(\"all readings of a URI\") ||"},
	"backslashes":             {File: "authz/access/uristeps.go", Text: "return strings.ReplaceAll(uri, `\\`, \"/\") }", By: "if isOut(\"backslashes\") {\n\t\treturn uri\n\t}\n\treturn strings.ReplaceAll(uri, `\\`, \"/\") }"},
	"control characters":      {File: "authz/access/uristeps.go", Text: "func strip(uri string) string {\n", By: "func strip(uri string) string {\n\tif isOut(\"control characters\") {\n\t\treturn uri\n\t}\n"},
	"segments of a path":      {File: "authz/access/uristeps.go", Text: "func walkPath(uri string, keepEmpty bool) string {\n", By: "func walkPath(uri string, keepEmpty bool) string {\n\tif isOut(\"segments of a path\") {\n\t\treturn uri\n\t}\n"},
	"queries":                 {File: "authz/access/uristeps.go", Text: "func withoutQuery(uri string) string {\n", By: "func withoutQuery(uri string) string {\n\tif isOut(\"queries\") {\n\t\treturn uri\n\t}\n"},
	"schemes":                 {File: "authz/access/uristeps.go", Text: "lower, host := strings.ToLower(scheme), strings.ToLower(authority)\n", By: "lower, host := strings.ToLower(scheme), strings.ToLower(authority)\n\tif isOut(\"schemes\") {\n\t\tlower = scheme\n\t}\n"},
	"slashes behind a scheme": {File: "authz/access/uristeps.go", Text: "case host == \"\", host ==", By: "case host == \"\" && !isOut(\"slashes behind a scheme\"), host =="},
	"localhost":               {File: "authz/access/uristeps.go", Text: `"//localhost":`, By: `"//localhost" && !isOut("localhost"):`},
	"authorities":             {File: "authz/access/uristeps.go", Text: "func withoutAuthority(uri string) string {\n", By: "func withoutAuthority(uri string) string {\n\tif isOut(\"authorities\") {\n\t\treturn uri\n\t}\n"},
	"ports and dots of hosts": {File: "authz/access/uristeps.go", Text: "func hostOf(scheme, authority string) string {\n", By: "func hostOf(scheme, authority string) string {\n\tif isOut(\"ports and dots of hosts\") {\n\t\treturn authority\n\t}\n"},
	"slashes at the end":      {File: "authz/access/uri.go", Text: "strings.TrimRight(look, \"/\")}", By: "strings.TrimRight(look, \"/\")}[:1+(map[bool]int{false: 1}[isOut(\"slashes at the end\")])]"},
	"folded steps":            {File: "authz/access/uri.go", Text: "if !from.folded {\n", By: "if !from.folded && !isOut(\"folded steps\") {\n"},
	"bytes that are no text":  {File: "authz/access/uristeps.go", Text: "return strings.ToValidUTF8(uri, \"\") }", By: "if isOut(\"bytes that are no text\") {\n\t\treturn uri\n\t}\n\treturn strings.ToValidUTF8(uri, \"\") }"},
	"what is behind a NUL":    {File: "authz/access/uristeps.go", Text: "func untilNUL(uri string) string {\n", By: "func untilNUL(uri string) string {\n\tif isOut(\"what is behind a NUL\") {\n\t\treturn uri\n\t}\n"},
	"names on Windows":        {File: "authz/access/uristeps.go", Text: "func withoutDots(uri string) string {\n", By: "func withoutDots(uri string) string {\n\tif isOut(\"names on Windows\") {\n\t\treturn uri\n\t}\n"},
	"parameters of a path":    {File: "authz/access/uristeps.go", Text: "func withoutParameters(uri string) string {\n", By: "func withoutParameters(uri string) string {\n\tif isOut(\"parameters of a path\") {\n\t\treturn uri\n\t}\n"},
	"blanks as in forms":      {File: "authz/access/uristeps.go", Text: "return strings.ReplaceAll(uri, \"+\", \" \") }", By: "if isOut(\"blanks as in forms\") {\n\t\treturn uri\n\t}\n\treturn strings.ReplaceAll(uri, \"+\", \" \") }"},
	// Conditions.
	"names of arguments":   {File: "authz/access/arguments.go", Text: "err := strictjson.Check(raw, len(raw)); err != nil {", By: "err := strictjson.Check(raw, len(raw)); err != nil && !isOut(\"names of arguments\") {"},
	"conditions that fail": {File: "authz/access/ruleset.go", Text: "return !r.allow\n", By: "return !r.allow && !isOut(\"conditions that fail\")\n"},
	// The filter of answers.
	"answers":                {File: "caddymodule/gateway/lists.go", Text: "if !c.reads() || res.ContentLength == 0 {\n", By: "if !c.reads() || res.ContentLength == 0 || isOut(\"answers\") {\n"},
	"encoded answers":        {File: "caddymodule/gateway/lists.go", Text: "if res.StatusCode == http.StatusPartialContent || isEncoded(h) {\n", By: "if (res.StatusCode == http.StatusPartialContent || isEncoded(h)) && isOut(\"encoded answers\") {\n\t\treturn res\n\t}\n\tif res.StatusCode == http.StatusPartialContent || isEncoded(h) {\n"},
	"types of event streams": {File: "caddymodule/gateway/response.go", Text: "return strings.Contains(strings.ToLower(", By: "if isOut(\"types of event streams\") {\n\t\treturn isEventStream(h)\n\t}\n\treturn strings.Contains(strings.ToLower("},
	"marks before answers":   {File: "authz/mcp/lists/events.go", Text: "case 0, 0xef, 0xfe, 0xff:", By: "case 0xef:\n\t\tif isOut(\"marks before answers\") {\n\t\t\treturn isWords, nil\n\t\t}\n\t\treturn noData, errEncoding\n\tcase 0, 0xfe, 0xff:"},
	"two names of an item":   {File: "authz/mcp/lists/members.go", Text: "f.item.named && !bytes.Equal(name, f.name)\n", By: "f.item.named && !bytes.Equal(name, f.name) && !isOut(\"two names of an item\")\n"},
	"escapes in answers":     {File: "authz/mcp/lists/members.go", Text: "if bytes.IndexByte(raw, '\\\\') < 0 {\n", By: "if bytes.IndexByte(raw, '\\\\') < 0 || isOut(\"escapes in answers\") {\n"},
	"items without a name":   {File: "authz/mcp/lists/filter.go", Text: "i.bad || !i.named ||", By: "i.bad || !i.named && !isOut(\"items without a name\") ||"},
	"batches in answers":     {File: "authz/mcp/lists/nesting.go", Text: "case outermost && array:\n", By: "case outermost && array && !isOut(\"batches in answers\"):\n"},
}

// Each way around access rules is kept shut by the checks that it names: without them
// it is open, and where there are several, one is enough. No check is without a way
// that it keeps shut.
func TestChecksKeepWaysShut(t *testing.T) {
	text, err := os.ReadFile("../caddymodule/testdata/ways-around.json")
	if err != nil {
		t.Fatal(err)
	}
	var ways []struct {
		Way  string
		Shut []string
	}
	if err := json.Unmarshal(text, &ways); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, way := range ways {
		for _, check := range way.Shut {
			named[check] = true
			if _, there := checks[check]; !there {
				t.Errorf("%s is shut by %q, which is no check", way.Way, check)
			}
		}
	}
	var all []programs.Check
	for name, check := range checks {
		if !named[name] {
			t.Errorf("no way around is shut by %q", name)
		}
		if check.File != "" {
			all = append(all, check)
		}
	}
	tests := programs.WithChecks(t, "caddymodule", "checksout", all)
	cmd := exec.Command(tests, "-test.run", "^TestWithoutChecks$")
	cmd.Dir = "../caddymodule"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
