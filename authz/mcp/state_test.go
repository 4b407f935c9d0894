package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

var (
	now   = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	alice = Asked{Subject: "virtual_key:alice", ClientID: "client", Server: "notion"}
)

func newTestStates(t testing.TB, key byte, issuer string) *States {
	t.Helper()
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{key}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return NewStates(keys, issuer)
}

func parse(t testing.TB, body string) *Request {
	t.Helper()
	r, err := ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mint(t testing.TB, s *States, body string) string {
	t.Helper()
	minted, err := s.Mint(alice, parse(t, body), Round{}, now)
	if err != nil {
		t.Fatal(err)
	}
	return minted
}

// retry is a request with a state and the answer to our input request.
func retry(method, params, state, action string) string {
	return modern(method, params+`"requestState":"`+state+`","inputResponses":{"gw.connect.notion":{"action":"`+action+`"}},`)
}

// A retry goes on as the request that it repeats: nothing of ours is left.
func TestStateIsStripped_D25(t *testing.T) {
	s := newTestStates(t, 1, "https://gw.example")
	state := mint(t, s, modern("tools/call", `"name":"x","arguments":{"b":1,"a":2},`))
	if !MayCarry([]byte(retry("tools/call", "", state, "accept"))) {
		t.Fatal("a state of ours is not noticed")
	}
	body, round, err := s.Take(alice, parse(t, retry("tools/call", `"arguments":{"a":2,"b":1},"name":"x",`, state, "accept")), now.Add(time.Minute))
	if err != nil || !round.Ours || round.Declined {
		t.Fatalf("got %+v, error %v; want an answer of ours that was not declined", round, err)
	}
	if bytes.Contains(body, []byte("requestState")) || bytes.Contains(body, []byte("inputResponses")) {
		t.Errorf("forwarded %s", body)
	}
	got := parse(t, string(body))
	if got.Method != "tools/call" || string(got.ID) != "7" || string(got.params["arguments"]) != `{"a":2,"b":1}` || !got.URLElicitation {
		t.Errorf("forwarded %s", body)
	}
}

// D-25: a state is good for the person, client and operation it was made for.
func TestStateIsBound_D25(t *testing.T) {
	s := newTestStates(t, 1, "https://gw.example")
	state := mint(t, s, modern("tools/call", `"name":"x",`))
	for name, tc := range map[string]struct {
		asked        Asked
		method, args string
		want         error
	}{
		"own":              {alice, "tools/call", `"name":"x",`, nil},
		"another person":   {Asked{Subject: "virtual_key:bob", ClientID: "client", Server: "notion"}, "tools/call", `"name":"x",`, errState},
		"another key":      {Asked{Subject: "virtual_key:alice", Proof: "new", ClientID: "client", Server: "notion"}, "tools/call", `"name":"x",`, errState},
		"another client":   {Asked{Subject: "virtual_key:alice", ClientID: "other", Server: "notion"}, "tools/call", `"name":"x",`, errState},
		"another method":   {alice, "prompts/get", `"name":"x",`, errState},
		"other params":     {alice, "tools/call", `"name":"y",`, errState},
		"additional param": {alice, "tools/call", `"name":"x","arguments":{},`, errState},
	} {
		t.Run(name, func(t *testing.T) {
			body, _, err := s.Take(tc.asked, parse(t, retry(tc.method, tc.args, state, "accept")), now)
			if !errors.Is(err, tc.want) || (tc.want != nil) != (body == nil) {
				t.Errorf("%s, %v; want %v", body, err, tc.want)
			}
		})
	}
}

// What is not ours is the upstream's, also when that is a gateway like us.
func TestForeignStateIsKept(t *testing.T) {
	s := newTestStates(t, 1, "https://gw.example")
	ours := mint(t, s, modern("tools/call", `"name":"x",`))
	for name, tc := range map[string]struct {
		states *States
		asked  Asked
		state  string
	}{
		"an upstream's":       {s, alice, "eyJzdGVwIjoxfQ"},
		"another gateway's":   {newTestStates(t, 2, "https://gw.example"), alice, ours},
		"another site's":      {newTestStates(t, 1, "https://other.example"), alice, ours},
		"another server's":    {s, Asked{Subject: "virtual_key:alice", ClientID: "client", Server: "github"}, ours},
		"cut":                 {s, alice, ours[:len(ours)-4]},
		"prefix alone":        {s, alice, statePrefix},
		"not in the alphabet": {s, alice, statePrefix + "!!"},
	} {
		t.Run(name, func(t *testing.T) {
			body, round, err := tc.states.Take(tc.asked, parse(t, retry("tools/call", `"name":"x",`, tc.state, "accept")), now)
			if body != nil || round.Ours || err != nil {
				t.Errorf("taken: %s %+v %v", body, round, err)
			}
		})
	}
}

// An upstream may be in a round of its own when its connection ends. That
// round goes on where ours ends.
func TestUpstreamsRoundSurvivesOurs(t *testing.T) {
	s := newTestStates(t, 1, "https://gw.example")
	own := modern("tools/call", `"name":"x","requestState":"upstream-state","inputResponses":{"theirs":{"action":"accept","content":{"n":1.50}}},`)
	minted, err := s.Mint(alice, parse(t, own), Round{}, now)
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := s.Take(alice, parse(t, retry("tools/call", `"name":"x",`, minted, "accept")), now)
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, string(body))
	if text(got.params[memberState]) != "upstream-state" || string(got.params[memberResponses]) != `{"theirs":{"action":"accept","content":{"n":1.50}}}` {
		t.Errorf("forwarded %s", body)
	}
	huge := modern("tools/call", `"requestState":"`+strings.Repeat("x", maxInnerState)+`",`)
	if _, err := s.Mint(alice, parse(t, huge), Round{}, now); !errors.Is(err, errInnerState) {
		t.Errorf("%v", err)
	}
}

// A no is a no, a late yes is as none, and nobody is asked forever.
func TestRounds(t *testing.T) {
	s := newTestStates(t, 1, "https://gw.example")
	state := mint(t, s, modern("tools/call", `"name":"x",`))
	for _, tc := range []struct {
		name, action string
		after        time.Duration
		declined     bool
	}{
		{"accept", "accept", 0, false}, {"decline", "decline", 0, true}, {"cancel", "cancel", 0, true},
		{"no late", "decline", stateLifetime, false}, {"unknown", "perhaps", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, round, err := s.Take(alice, parse(t, retry("tools/call", `"name":"x",`, state, tc.action)), now.Add(tc.after))
			if err != nil || !round.Ours || round.Declined != tc.declined {
				t.Errorf("%+v %v", round, err)
			}
		})
	}
	var round Round
	for asked := 1; ; asked++ {
		if asked > maxRounds {
			t.Fatal("asked forever")
		}
		minted, err := s.Mint(alice, parse(t, modern("tools/call", `"name":"x",`)), round, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, round, err = s.Take(alice, parse(t, retry("tools/call", `"name":"x",`, minted, "accept")), now); err != nil {
			t.Fatal(err)
		}
		if round.Declined {
			if asked != maxRounds {
				t.Errorf("asked %d times", asked)
			}
			break
		}
	}
}

// Whatever a client makes of a state, it never becomes another request.
func FuzzTakeState(f *testing.F) {
	s := newTestStates(f, 1, "https://gw.example")
	f.Add([]byte(retry("tools/call", `"name":"x",`, mint(f, s, modern("tools/call", `"name":"x",`)), "accept")))
	f.Add([]byte(retry("tools/call", `"name":"y",`, mint(f, s, modern("tools/call", `"name":"x",`)), "decline")))
	f.Add([]byte(retry("tools/call", ``, "gwc1.AAAA", "accept")))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			return
		}
		before, err := r.operation()
		if err != nil {
			return
		}
		forwarded, _, err := s.Take(alice, r, now)
		if err != nil || forwarded == nil {
			return
		}
		if !json.Valid(forwarded) {
			t.Fatalf("forwarded %s", forwarded)
		}
		after, _ := parse(t, string(forwarded)).operation()
		if !bytes.Equal(before, after) {
			t.Fatalf("%s became %s", before, after)
		}
	})
}
