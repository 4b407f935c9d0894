package event_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

func newRecorder(t *testing.T, level zapcore.Level) (*event.Recorder, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(level)
	return event.NewRecorder(event.Options{
		Site:     "https://mcp.example",
		ClientIP: func(r *http.Request) string { return r.RemoteAddr },
		Block:    func(address string) string { return "block of " + address },
		Now:      time.Now,
	}, event.NewLog(zap.New(core))), logs
}

func TestLogLine(t *testing.T) {
	rec, logs := newRecorder(t, zapcore.InfoLevel)
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.RemoteAddr = "192.0.2.1"
	r.Header.Set("Origin", "https://page.example")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	ctx := rec.Of(r)
	event.Learn(ctx, event.Event{Client: "c1", Person: "user_id:alice"})
	event.Learn(ctx, event.Event{Client: "c2"})
	ref := rec.Refer(ctx, event.Event{
		Kind: event.TokenRefused, Reason: "expired", Detail: "The code is too old.", Server: "notes", Status: 400, Err: errors.New("cause"),
	})
	got := logs.All()
	if len(got) != 1 {
		t.Fatalf("%d lines, want 1", len(got))
	}
	want := map[string]any{
		"event": "token.refused", "correlation_id": ref, "reason": "expired", "detail": "The code is too old.", "person": "user_id:alice",
		"client_id": "c2", "server": "notes", "address": "192.0.2.1", "origin": "https://page.example", "site": "https://mcp.example",
		"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "status": int64(400), "error": "cause",
	}
	if fields := got[0].ContextMap(); fmt.Sprint(fields) != fmt.Sprint(want) {
		t.Errorf("fields\n got %v\nwant %v", fields, want)
	}
	if got[0].Level != zapcore.InfoLevel || got[0].Message != "tokens refused" {
		t.Errorf("got %v %q", got[0].Level, got[0].Message)
	}
}

// A flood is a bounded number of lines, each reference that was shown is in
// one of them, and what has no line is counted.
func TestFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, logs := newRecorder(t, zapcore.InfoLevel)
		shown := map[string]bool{}
		const senders, each = 50, 40
		for i := range senders {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = fmt.Sprint(i)
			for range each {
				shown[rec.Refer(rec.Of(r), event.Event{Kind: event.GateRefused, Reason: "missing_token"})] = true
			}
		}
		rec.Refer(context.Background(), event.Event{Kind: event.GateRefused, Reason: "other"})
		if n := logs.FilterMessage(event.GateRefused.Message()).Len(); n != 102 {
			t.Errorf("%d lines, want 100, one for all the others, and one of another cause", n)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		inLog, counted := map[string]bool{}, int64(0)
		for _, line := range logs.All() {
			fields := line.ContextMap()
			inLog[fields["correlation_id"].(string)] = true
			if n, ok := fields["count"].(int64); ok {
				counted += n
			}
		}
		for ref := range shown {
			if !inLog[ref] {
				t.Errorf("%s was shown and is in no line", ref)
			}
		}
		if want := int64(senders*each - 101); counted != want {
			t.Errorf("%d events are counted, want %d", counted, want)
		}
		logs.TakeAll()
		rec.Refer(context.Background(), event.Event{Kind: event.GateRefused, Reason: "missing_token"})
		if logs.Len() != 1 {
			t.Errorf("%d lines in the next minute, want 1", logs.Len())
		}
	})
}

func TestNoRecorder(t *testing.T) {
	var rec *event.Recorder
	rec.Record(rec.Of(httptest.NewRequest(http.MethodGet, "/", nil)), event.Event{Kind: event.TokenIssued})
	if rec.Refer(context.Background(), event.Event{Kind: event.GateRefused}) == "" {
		t.Error("no reference")
	}
}

func TestKinds(t *testing.T) {
	var names []string
	for _, k := range event.Kinds() {
		if k.String() == "" || k.Message() == "" {
			t.Errorf("kind %d after %q is not in the table", k, names[len(names)-1])
		}
		names = append(names, k.String())
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("a name is there twice: %q", names)
	}
}

// An operator is warned of each thing once a minute; each reference is in the log
// all the same.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, logs := newRecorder(t, zapcore.InfoLevel)
		fail := func(server string) {
			rec.Refer(context.Background(), event.Event{Kind: event.ServerUnreachable, Server: server})
		}
		for range 3 {
			fail("notes")
		}
		fail("files")
		rec.Refer(context.Background(), event.Event{Kind: event.RequestFailed, Known: true})
		if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 2 || logs.Len() != 5 {
			t.Errorf("%d errors in %d lines, want one for each server in 5", n, logs.Len())
		}
		for i := range 100 {
			fail(fmt.Sprint(i))
		}
		if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 10 {
			t.Errorf("%d errors, want no more than 10", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		logs.TakeAll()
		if fail("notes"); logs.FilterLevelExact(zapcore.ErrorLevel).Len() != 1 {
			t.Error("a minute later nobody is told that it still does not work")
		}
	})
}

// What a site asks itself is no event.
func TestUnheard(t *testing.T) {
	rec, logs := newRecorder(t, zapcore.DebugLevel)
	ctx := rec.Of(httptest.NewRequest(http.MethodGet, "/", nil).WithContext(event.Unheard(t.Context())))
	rec.Record(ctx, event.Event{Kind: event.TokenRefused})
	if ref := rec.Refer(ctx, event.Event{Kind: event.TokenRefused}); ref == "" || logs.Len() != 0 {
		t.Errorf("reference %q, %d lines; want a reference and none", ref, logs.Len())
	}
}

// What shows no reference is bounded, too, and lends its lines to nothing that does.
func TestFloodWithoutReferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, logs := newRecorder(t, zapcore.InfoLevel)
		for i := range 1000 {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = fmt.Sprint(i % 10)
			rec.Record(rec.Of(r), event.Event{Kind: event.SignInStarted})
		}
		if logs.Len() != 100 {
			t.Errorf("%d lines, want 100", logs.Len())
		}
		for range 5 {
			ref := rec.Refer(context.Background(), event.Event{Kind: event.SignInStarted})
			if logs.FilterField(zap.String("correlation_id", ref)).Len() == 0 {
				t.Errorf("%s was shown and is in no line", ref)
			}
		}
		if logs.Len() != 101 {
			t.Errorf("%d lines, want one more", logs.Len())
		}
	})
}

// What strangers write is in the log shortened, and as text.
func TestTextsOfStrangersAreBounded(t *testing.T) {
	rec, logs := newRecorder(t, zapcore.InfoLevel)
	const long = 5000
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Origin"] = []string{strings.Repeat("o", long), strings.Repeat("o", long), "third"}
	r.Header.Set("User-Agent", strings.Repeat("ä", long)+"\xff")
	r.Header.Set("Traceparent", "00-"+strings.Repeat("x", long)+"-1-01")
	rec.Record(rec.Of(r), event.Event{Kind: event.TokenRefused, Err: errors.New("\xffcause" + strings.Repeat("ä", long))})
	fields := logs.All()[0].ContextMap()
	for name, most := range map[string]int{"origin": 700, "user_agent": 200, "error": 1000, "trace_id": 0} {
		text, _ := fields[name].(string)
		if len(text) > most || most > 0 && text == "" || !utf8.ValidString(text) {
			t.Errorf("%s has %d bytes, valid %t; want some, at most %d", name, len(text), utf8.ValidString(text), most)
		}
	}
}
