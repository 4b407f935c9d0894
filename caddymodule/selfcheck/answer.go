package selfcheck

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// answer records a response.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
		a.header = a.header.Clone()
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// Flush is there for handlers that ask for it.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

// copyTo writes an answer as the site would have written it.
func (a *answer) copyTo(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = slices.Clone(values)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // into memory
}

// stub is an answer like those of endpoints that cannot be asked for nothing.
func stub(v visit) *answer {
	a := newAnswer()
	a.header.Set("Cache-Control", "no-store")
	if v.person {
		a.header.Set("Location", "https://client.example/callback?code=x")
		a.header.Set("Set-Cookie", "selfcheck=x; Path=/; HttpOnly")
		a.header.Set("Referrer-Policy", "no-referrer")
		a.WriteHeader(http.StatusSeeOther)
		return a
	}
	a.header.Set("Content-Type", "application/json")
	a.header.Set("Access-Control-Allow-Origin", "*")
	_, _ = a.Write([]byte(`{"error":"invalid_request"}`)) // into memory
	return a
}

// change is what became of an answer on its way out.
type change struct {
	what   string // a header, or "status" or "body"
	effect string
	level  zapcore.Level
	refuse bool
}

// changesOf compares what came out with what the site answered.
func changesOf(v visit, sent, got *answer) []change {
	var all []change
	if got.status != sent.status {
		all = append(all, change{"status", "so nobody understands it", zapcore.ErrorLevel, true})
	}
	if !bytes.Equal(got.body.Bytes(), sent.body.Bytes()) {
		all = append(all, change{"body", "so it is not what the site said", zapcore.ErrorLevel, !v.person})
	}
	for _, h := range protected {
		if h.pages && !v.person || !h.changed(sent.header, got.header) {
			continue
		}
		all = append(all, change{h.name, h.effect, h.level, h.refuse})
	}
	return all
}

// header is one on which clients, browsers or safety depend.
type header struct {
	name   string
	effect string
	level  zapcore.Level
	refuse bool
	pages  bool // matters on pages only
	same   func(sent, got []string) bool
}

func (h header) changed(sent, got http.Header) bool {
	before := sent.Values(h.name)
	return len(before) > 0 && !h.same(before, got.Values(h.name))
}

// protected are the headers of answers that must come out as they went in.
var protected = []header{
	{name: "WWW-Authenticate", effect: "so many clients do not learn where to sign in", level: zapcore.ErrorLevel, same: slices.Equal[[]string]},
	{name: "Location", effect: "so browsers are sent elsewhere", level: zapcore.ErrorLevel, refuse: true, same: slices.Equal[[]string]},
	{name: "Set-Cookie", effect: "so browsers are not known again, and nobody can sign in", level: zapcore.ErrorLevel, refuse: true, same: includes},
	{name: "Content-Type", effect: "so clients and browsers take it for something else", level: zapcore.ErrorLevel, same: sameType},
	{name: "Content-Security-Policy", effect: "so pages may not work, or be less safe", level: zapcore.WarnLevel, pages: true, same: slices.Equal[[]string]},
	{name: "Cache-Control", effect: "so secrets may be kept in caches", level: zapcore.WarnLevel, same: staysOutOfCaches},
	{name: "Access-Control-Allow-Origin", effect: "so web clients may not be able to read it", level: zapcore.WarnLevel, same: slices.Equal[[]string]},
	{name: "Access-Control-Allow-Methods", effect: "so web clients may not be able to send it", level: zapcore.WarnLevel, same: slices.Equal[[]string]},
	{name: "Access-Control-Allow-Headers", effect: "so web clients may not be able to send it", level: zapcore.WarnLevel, same: slices.Equal[[]string]},
	{name: "Access-Control-Expose-Headers", effect: "so web clients may not learn where to sign in", level: zapcore.WarnLevel, same: slices.Equal[[]string]},
}

// includes reports whether everything that was sent came out, perhaps with more.
func includes(sent, got []string) bool {
	return !slices.ContainsFunc(sent, func(value string) bool { return !slices.Contains(got, value) })
}

func sameType(sent, got []string) bool {
	return egress.MediaType(http.Header{"Content-Type": sent}) == egress.MediaType(http.Header{"Content-Type": got})
}

func staysOutOfCaches(sent, got []string) bool {
	return !strings.Contains(strings.Join(sent, ","), "no-store") || strings.Contains(strings.Join(got, ","), "no-store")
}
