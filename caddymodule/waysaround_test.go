package caddymodule

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// wayAround is a request by which a client tries to use what access rules deny, at a
// server that reads requests in its own way.
type wayAround struct {
	Way string
	// Server is how the server reads: see lenient.
	Server   string
	At       string // the path of the server; default: /ruled
	Method   string // default: POST
	Headers  map[string]string
	Body     string
	Fill     int    // how often the @ in the body is repeated
	Encoding string // of the body as it is sent, and here for base64
	Chunked  bool
	Uses     string // what is used, or shown, if nothing is in the way
	// Shut are the checks that shut it, of integration_test/checks_test.go; of several,
	// each is enough.
	Shut   []string
	Always bool // it is shut without rules, too
	// Answer is what the server answers, in which a # is another number each time, and
	// AnswerHeaders with what; default: JSON without anything to see.
	Answer        string
	AnswerHeaders map[string]string
	AnswerStatus  int
}

// rulesAround deny what the ways around are after.
const rulesAround = " {\n" +
	"tools {\ndeny delete_*\ndeny run_query when `tool.args.database == \"prod\"`\nallow *\n}\n" +
	"resources {\ndeny file:///docs/secret*\nallow file:///docs/*\n}\n" +
	"prompts {\ndeny admin\nallow *\n}\n}\n"

// rulesWide allow what they do not deny.
const rulesWide = " {\nresources {\ndeny file:///docs/secret file:///etc/* https://h/secret \"file:///docs/my secret\"\nallow *\n}\n}\n"

// No way around the rules leads to a server that would take it. Each of them works
// where there are no rules: the same request uses there what it is after.
func TestNoWayAroundAccessRules(t *testing.T) {
	server, g := lenientGateway(t)
	ways := waysAround(t)
	if len(ways) < 40 {
		t.Fatalf("%d ways around are too few", len(ways))
	}
	for _, way := range ways {
		t.Run(way.Way, func(t *testing.T) {
			if got := server.usedBy(t, g, "/open", &way); slices.Contains(got, way.Uses) == way.Always {
				t.Fatalf("without rules it uses %q, want %q: it is no way around", got, way.Uses)
			}
			if got := server.usedBy(t, g, cmp.Or(way.At, "/ruled"), &way); slices.Contains(got, way.Uses) {
				t.Errorf("it uses %q", got)
			}
		})
	}
	for name, way := range map[string]*wayAround{ // not everything is refused
		"a tool":              {Server: "last", Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get"}}`, Uses: "tool get"},
		"a large call":        {Server: "last", Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get","arguments":{"x":"@"}}}`, Fill: 200_000, Uses: "tool get"},
		"a large one, chunks": {Server: "last", Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get","arguments":{"x":"@"}}}`, Fill: 200_000, Chunked: true, Uses: "tool get"},
		"an argument":         {Server: "last", Body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run_query","arguments":{"database":"test"}}}`, Uses: "query test"},
		"a resource":          {Server: "uri", Body: `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///docs/a%20b"}}`, Uses: "resource file:///docs/a b"},
		"a batch":             {Server: "last", Body: `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"get"}}]`, Uses: "tool get"},
	} {
		if got := server.usedBy(t, g, "/ruled", way); !slices.Contains(got, way.Uses) {
			t.Errorf("%s: used %q, want %q", name, got, way.Uses)
		}
	}
}

func waysAround(t *testing.T) (ways []wayAround) {
	t.Helper()
	text, err := os.ReadFile("testdata/ways-around.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &ways); err != nil {
		t.Fatal(err)
	}
	return ways
}

// lenientGateway is a site with one server twice: open to all, and with rules.
func lenientGateway(t *testing.T) (*lenientServer, *instance) {
	t.Helper()
	server := &lenientServer{}
	upstream := httptest.NewServer(server)
	t.Cleanup(upstream.Close)
	return server, newGateway(t, alice+"server open /open "+upstream.URL+"/mcp\nserver ruled /ruled "+upstream.URL+"/mcp"+rulesAround+
		"server wide /wide "+upstream.URL+"/mcp"+rulesWide)
}

// lenientServer is an MCP server that notes what it was made to use.
type lenientServer struct {
	mu    sync.Mutex
	way   *wayAround // that is tried
	used  []string
	tries int
}

// usedBy sends a request, and returns what the server was made to use.
func (s *lenientServer) usedBy(t *testing.T, g *instance, at string, way *wayAround) []string {
	t.Helper()
	s.mu.Lock()
	s.way, s.used = way, nil
	s.tries++
	s.mu.Unlock()
	body := way.sent(t)
	method := way.Method
	if method == "" {
		method = http.MethodPost
	}
	var reader io.Reader = bytes.NewReader(body)
	if way.Chunked {
		reader = struct{ io.Reader }{reader}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+at, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+aliceKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	for name, value := range way.Headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	used := slices.Clone(s.used)
	if way.Answer != "" && strings.Contains(strings.ReplaceAll(string(shown), `\u0065`, "e"), "delete_repo") {
		used = append(used, "shown delete_repo")
	}
	return used
}

// sent returns the body as it is sent.
func (w *wayAround) sent(t *testing.T) []byte {
	t.Helper()
	body := []byte(strings.ReplaceAll(w.Body, "@", strings.Repeat("@", max(1, w.Fill))))
	var packed bytes.Buffer
	var writer io.WriteCloser
	switch w.Encoding {
	case "":
		return body
	case "base64":
		plain, err := base64.StdEncoding.DecodeString(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	case "utf-16":
		wide, err := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().Bytes(body)
		if err != nil {
			t.Fatal(err)
		}
		return wide
	case "gzip":
		writer = gzip.NewWriter(&packed)
	case "deflate":
		writer, _ = flate.NewWriter(&packed, flate.BestSpeed)
	default:
		t.Fatalf("no encoding %q", w.Encoding)
	}
	_, _ = writer.Write(body)
	_ = writer.Close()
	return packed.Bytes()
}

// ServeHTTP implements http.Handler.
func (s *lenientServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	for name, value := range s.way.AnswerHeaders {
		w.Header().Set(name, value)
	}
	w.WriteHeader(cmp.Or(s.way.AnswerStatus, http.StatusOK))
	_, _ = io.WriteString(w, strings.ReplaceAll(cmp.Or(s.way.Answer, `{"jsonrpc":"2.0","id":1,"result":{}}`), "#", strconv.Itoa(s.tries)))
	if err != nil { // broken off: nothing is done
		return
	}
	as := lenient(s.way.Server)
	if as == "session" {
		s.used = append(s.used, "session "+r.Header.Get("Mcp-Session-Id"))
	}
	for _, m := range as.messages(decoded(r.Header, body)) {
		s.used = append(s.used, as.uses(r.Header, m)...)
	}
}

// decoded undoes what the headers say of a body.
func decoded(h http.Header, body []byte) []byte {
	var err error
	switch h.Get("Content-Encoding") {
	case "gzip":
		var r io.Reader
		if r, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(r)
		}
	case "deflate":
		body, err = io.ReadAll(flate.NewReader(bytes.NewReader(body)))
	}
	_, parameters, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch parameters["charset"] {
	case "utf-16le":
		body, err = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder().Bytes(body)
	case "utf-7":
		body = bytes.ReplaceAll(body, []byte("+AGQ-"), []byte("d"))
	}
	if err != nil {
		return nil
	}
	return body
}

// lenient is a way to read messages: of names that repeat the "last" or the "first"
// counts, names of members are "folded", so are "names" of items, "uri"s are decoded
// and walked, the "header" counts, several texts are a "stream", a byte order
// "mark" is skipped, of "hosts" only the name counts, and none where files are, "wide"
// characters are folded before a path is walked, names are as on "windows", of "lists" in the place of names the first counts, and who has the
// id of a "session" is in it.
type lenient string

func (l lenient) messages(body []byte) (all []map[string]any) {
	if l == "mark" {
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		value, err := l.value(d)
		if err != nil {
			return all
		}
		list, isBatch := value.([]any)
		if !isBatch {
			list = []any{value}
		}
		for _, one := range list {
			if m, ok := one.(map[string]any); ok {
				all = append(all, m)
			}
		}
		if l != "stream" {
			return all
		}
	}
}

// value reads one value, and keeps of what repeats the one that counts.
func (l lenient) value(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := l.value(d)
			if err != nil {
				return nil, err
			}
			key := l.member(fmt.Sprint(name))
			if _, there := object[key]; !there || l != "first" {
				object[key] = value
			}
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := l.value(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}

func (l lenient) member(name string) string {
	if l != "folded" {
		return name
	}
	return strings.TrimSpace(strings.ReplaceAll(spelling.Fold(name), "ſ", "s"))
}

// name returns what the server takes the name of an item for.
func (l lenient) name(name string) string {
	switch l {
	case "names":
		name, _, _ = strings.Cut(name, "\x00")
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if r == '\ufffd' || identity.Invisible(r) {
				return -1
			}
			return r
		}, spelling.Fold(name)))
	case "uri":
		for range 2 {
			if plain, err := url.PathUnescape(name); err == nil {
				name = plain
			}
		}
		name = strings.ToLower(strings.NewReplacer(`\`, "/", "\t", "", "//localhost", "").Replace(name))
		name, _, _ = strings.Cut(name, "?")
		name, _, _ = strings.Cut(name, "#")
		return "file://" + path.Clean("/"+strings.TrimPrefix(name, "file:"))
	case "hosts":
		return ofHost(name)
	case "wide":
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		name, _, _ = strings.Cut(strings.ToValidUTF8(name, ""), "\x00")
		return "file://" + path.Clean(strings.TrimPrefix(spelling.Fold(name), "file://"))
	case "windows":
		name, _, _ = strings.Cut(strings.ReplaceAll(name, "+", " "), ";")
		return strings.TrimRight(strings.TrimSuffix(name, "::$DATA"), ". ")
	}
	return name
}

// ofHost returns a URI without what is the same without it, and whose files they are.
func ofHost(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if u.Scheme == "file" {
		host = ""
	}
	walked, _ := url.PathUnescape(path.Clean(u.EscapedPath()))
	return u.Scheme + "://" + host + walked
}

func text(of any) string {
	s, _ := of.(string)
	return s
}

// uses returns what a message uses.
func (l lenient) uses(h http.Header, m map[string]any) []string {
	method := text(m["method"])
	if l == "folded" {
		method = l.member(method)
	}
	params, _ := m["params"].(map[string]any)
	named := func(value any) string {
		header := h.Get("Mcp-Name")
		if list, is := value.([]any); is && l == "lists" && len(list) > 0 {
			value = list[0]
		}
		if l != "header" || header == "" {
			return l.name(text(value))
		}
		if strings.HasPrefix(header, "=?base64?") {
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(header, "=?base64?"), "?="))
			return string(plain)
		}
		return header
	}
	name := named(params["name"])
	ref, _ := params["ref"].(map[string]any)
	switch method {
	case "tools/call":
		if arguments, _ := params["arguments"].(map[string]any); name == "run_query" {
			return []string{"query " + text(arguments["database"])}
		}
		return []string{"tool " + name}
	case "prompts/get":
		return []string{"prompt " + name}
	case "resources/read", "resources/subscribe":
		return []string{"resource " + named(params["uri"])}
	case "completion/complete":
		if text(ref["type"]) == "ref/prompt" {
			return []string{"prompt " + named(ref["name"])}
		}
		return []string{"resource " + named(ref["uri"])}
	case "subscriptions/listen":
		notifications, _ := params["notifications"].(map[string]any)
		var all []string
		uris, _ := notifications["resourceSubscriptions"].([]any)
		for _, uri := range uris {
			all = append(all, "resource "+text(uri))
		}
		return all
	}
	return nil
}
