package faults

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

var now = time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)

// caseOf is a case of steps, one a second, to be explained after a while.
func caseOf(after time.Duration, steps ...trace.Step) *Case {
	t := &trace.Trace{ID: "1", Site: "https://mcp.example.com", Agent: "codex/1", Address: "192.0.2.1", Person: "oidc:alice", Servers: []string{"notion"}}
	for i, s := range steps {
		s.Time = now.Add(time.Duration(i) * time.Second)
		t.Steps = append(t.Steps, s)
	}
	return &Case{Trace: t, Now: now.Add(time.Duration(len(steps))*time.Second + after)}
}

func step(k event.Kind, reason string) trace.Step {
	return trace.Step{Kind: k.String(), Outcome: k.Outcome(), Reason: reason, Join: trace.Certain}
}

func caused(s trace.Step, cause string) trace.Step {
	s.Cause = cause
	return s
}

// The signs of faults that take the internet, a certificate or a clock to set up. The
// others are set up for real, in the tests of the module.
func TestSigns(t *testing.T) {
	started := step(event.SignInStarted, "")
	for _, test := range []struct {
		fault string
		at    Party
		c     *Case
	}{
		{"no-fallback-to-registration", Operator, caseOf(0, step(event.GateRefused, trace.NoToken), caused(step(event.SignInRefused, "documents_unreachable"), "dial tcp: timeout"))},
		{"other-persons-link", Person, caseOf(0, step(event.CallNeedsAccount, "asked_by_elicitation"), step(event.PageRefused, "other_person"))},
		{"provider-cannot-fetch-document", Operator, caseOf(0, caused(step(event.ConnectionFailed, "provider_refused"), "refused, status 400, invalid_client; it may have failed to fetch https://x/y; if it cannot, set metadata_document off"))},
		{"provider-certificate", Provider, caseOf(0, caused(step(event.ConnectionFailed, "provider_unusable"), "its certificate is not accepted; have it renewed"))},
		{"provider-in-private-network", Operator, caseOf(0, caused(step(event.ConnectionFailed, "provider_unusable"), "only the internet over https is reached, unless the configuration names the address: x"))},
		{"answer-too-late", Person, caseOf(0, step(event.ConnectionStarted, ""), step(event.ConnectionRefused, "trip_ended"))},
		{"nobody-signed-in-in-front", Operator, caseOf(0, started, step(event.SignInRefused, "no_user"))},
		{"denied-by-access-rule", Operator, caseOf(0, step(event.CallPassed, ""), caused(step(event.CallRefused, "access_rule"), "tool \"x\": no rule allows it"))},
		{"tool-held-back", Operator, caseOf(0, step(event.CallPassed, ""), step(event.CallRefused, "tool_not_approved"))},
		{"tool-not-chosen", Person, caseOf(0, step(event.TokenIssued, ""), step(event.CallRefused, "not_chosen"))},
		{"identity-provider-silent", Provider, caseOf(0, step(event.TokenIssued, ""), step(event.GateRefused, "provider_silent"))},
		{"sign-in-expired", Person, caseOf(0, started, step(event.PageRefused, "expired"))},
		{"failed", Us, caseOf(0, step(event.CallFailed, "account_damaged"))},
		{"refused", Client, caseOf(0, step(event.CallRefused, "header_mismatch"))},
		{"told-to-sign-in", Nobody, caseOf(0, step(event.GateRefused, trace.NoToken))},
		{"under-way", Nobody, caseOf(0, step(event.ClientRegistered, ""))},
		{"token-ended", Client, caseOf(0, step(event.GateRefused, "token_ended"))},
		{"form-from-elsewhere", Person, caseOf(0, started, step(event.PageRefused, "forged"))},
		{"other-host", Operator, caseOf(0, step(event.RequestRefused, "misdirected_request"))},
		{"works", Nobody, caseOf(time.Hour, step(event.TokenIssued, ""), step(event.GateRefused, "token_ended"), step(event.TokenRefreshed, ""), step(event.CallPassed, ""))},
	} {
		t.Run(test.fault, func(t *testing.T) {
			a := Explain(test.c, "")
			if a.Fault != test.fault || a.AtFault != test.at {
				t.Errorf("got %s, at fault: %s; want %s, %s", a.Fault, a.AtFault, test.fault, test.at)
			}
		})
	}
}

// What happens again and again is the answer though the client works at the moment.
func TestRecurs(t *testing.T) {
	started, passed := step(event.SignInStarted, ""), step(event.CallPassed, "")
	before := caseOf(0, step(event.TokenIssued, ""), step(event.CallPassed, ""), step(event.GateRefused, "token_ended")).Trace
	c := caseOf(time.Hour, started, step(event.TokenIssued, ""), passed)
	for i := range c.Steps {
		c.Steps[i].Time = c.Steps[i].Time.Add(time.Minute)
	}
	if a := Explain(c, ""); a.Fault != "works" {
		t.Errorf("for the first time: got %s", a.Fault)
	}
	c.Earlier = []*trace.Trace{before}
	if a := Explain(c, ""); a.Fault != "never-refreshes" || a.AtFault != Client || a.Since != "" {
		t.Errorf("again: got %+v", a)
	}
	c = caseOf(time.Hour, step(event.ClientRegistered, ""), passed)
	for i := range often {
		other := *c.Trace
		other.ID, other.Client, other.Began = "t"+strconv.Itoa(i), "c"+strconv.Itoa(i), now
		if c.Earlier = append(c.Earlier, &other); i < often-2 && Explain(c, "").Fault != "works" {
			t.Errorf("after %d registrations: got %s", i+1, Explain(c, "").Fault)
		}
	}
	if a := Explain(c, ""); a.Fault != "registers-at-each-start" {
		t.Errorf("got %s, want registers-at-each-start", a.Fault)
	}
	// Whoever was refused each time has nothing that a client could forget.
	refused := []trace.Step{step(event.ClientRegistered, ""), step(event.SignInRefused, "declined")}
	c = caseOf(time.Hour, refused...)
	for i := range often {
		other := *caseOf(time.Hour, refused...).Trace
		other.ID, other.Client, other.Began = "t"+strconv.Itoa(i), "c"+strconv.Itoa(i), now
		c.Earlier = append(c.Earlier, &other)
	}
	if a := Explain(c, ""); a.Fault != "sign-in-declined" {
		t.Errorf("refused each time: got %s, want sign-in-declined", a.Fault)
	}
}

// A client may register once for each server, and one program have several names: that
// is not to forget.
func TestRegistersForEachServer(t *testing.T) {
	c := caseOf(0, step(event.ClientRegistered, ""), step(event.SignInStarted, ""))
	for i := range 2 * often {
		other := *c.Trace
		other.ID, other.Client, other.Began, other.Steps = "t"+strconv.Itoa(i), "c"+strconv.Itoa(i), now, []trace.Step{step(event.TokenIssued, "")}
		if other.Servers = []string{"server" + strconv.Itoa(i)}; i%2 == 0 {
			other.Servers, other.ClientName = c.Servers, "another name"
		}
		c.Earlier = append(c.Earlier, &other)
	}
	if a := Explain(c, ""); a.Fault != "under-way" {
		t.Errorf("got %s, want under-way", a.Fault)
	}
}

// What was refused for sure is the answer, and not that the client registers again and
// again besides.
func TestRefusalsComeBeforeHabits(t *testing.T) {
	c := caseOf(0, step(event.ClientRegistered, ""), step(event.ConsentDenied, ""))
	for i := range often {
		other := *c.Trace
		other.ID, other.Client, other.Began, other.Steps = "t"+strconv.Itoa(i), "c"+strconv.Itoa(i), now, []trace.Step{step(event.TokenIssued, "")}
		c.Earlier = append(c.Earlier, &other)
	}
	a := Explain(c, "")
	if a.Fault != "refused-by-person" || len(a.Also) != 1 || a.Also[0].Fault != "registers-at-each-start" {
		t.Errorf("got %s, also %+v", a.Fault, a.Also)
	}
}

// What may be another client's is not told of the one that is known, nor the other way
// round.
func TestNamesNobodyWhoMayBeAnother(t *testing.T) {
	misused, refused := step(event.TokenRefused, "invalid_scope"), step(event.GateRefused, "token_ended")
	refused.Join, refused.Reference = trace.Possible, "r1"
	c := caseOf(0, misused, refused)
	c.ClientName = "Somebody's client"
	if a := Explain(c, "r1"); a.What != "codex/1 sent a token that is good no more." || len(a.Also) != 0 {
		t.Errorf("got %q, also %+v", a.What, a.Also)
	}
}

// The names of our packages are left out of what failed.
func TestCausesArePlain(t *testing.T) {
	c := caseOf(0, caused(step(event.SignInRefused, "document_unusable"), "egress: answer not usable: egress: no answer: status 500"))
	a := Explain(c, "")
	if want := "answer not usable: no answer: status 500"; !strings.Contains(a.Why, ": "+want) || !strings.HasSuffix(a.Evidence[0].Text, " "+want) {
		t.Errorf("got %q and %q, want %q in both", a.Why, a.Evidence[0].Text, want)
	}
}

// The answer is about the step at which somebody was shown the reference, whatever
// happened later; what works by now is said.
func TestExplainsTheReference(t *testing.T) {
	denied, pkce := step(event.ConsentDenied, ""), step(event.SignInRefused, "pkce_missing")
	pkce.Reference = "r1"
	c := caseOf(0, pkce, step(event.SignInStarted, ""), denied, step(event.CallPassed, ""))
	for reference, want := range map[string]string{"r1": "no-pkce", "": "works", "unknown": "works"} {
		if a := Explain(c, reference); a.Fault != want {
			t.Errorf("%q: got %s, want %s", reference, a.Fault, want)
		}
	}
	if a := Explain(c, "r1"); !strings.Contains(a.Since, "works by now") || len(a.Also) != 1 || a.Also[0].Fault != "refused-by-person" {
		t.Errorf("got %+v", a)
	}
}

// The catalogue has everything that an answer needs, and names only kinds that exist.
func TestCatalogue(t *testing.T) {
	var ids []string
	for _, f := range slices.Concat(All, generalFaults) {
		if slices.Contains(ids, f.ID) {
			t.Errorf("%s is there twice", f.ID)
		}
		ids = append(ids, f.ID)
		for name, text := range map[string]string{"What": f.What, "Fix": f.Fix} {
			if text == "" || !strings.HasSuffix(strings.TrimRight(text, "}"), ".") && !strings.HasSuffix(text, "}") {
				t.Errorf("%s: %s is %q, which is no sentence", f.ID, name, text)
			}
		}
		if f.At == "" || f.Sign == nil || f.Link != "" && !strings.HasPrefix(f.Link, "https://") {
			t.Errorf("%s: at %q, link %q", f.ID, f.At, f.Link)
		}
	}
	for sentence := range sentences {
		kind, _, _ := strings.Cut(sentence, " ")
		if messageOf(kind) == kind {
			t.Errorf("there is no kind %s", kind)
		}
	}
}

// What strangers wrote cannot move the cursor of who reads it.
func TestNamesArePrintable(t *testing.T) {
	c := caseOf(0, step(event.ConsentDenied, ""))
	c.ClientName = "evil\x1b[2J\u202e\r\nname"
	if a := Explain(c, ""); strings.ContainsAny(a.What, "\x1b\r\n\u202e") || !strings.Contains(a.What, "“evil[2Jname”") {
		t.Errorf("got %q", a.What)
	}
}
