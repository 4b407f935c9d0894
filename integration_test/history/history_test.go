package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/history"
)

// at returns an operation of the only family, between two seconds.
func at(from, to int, kind history.Kind, token string, outcome history.Outcome, next string) history.Operation {
	began := time.Unix(1_800_000_000, 0)
	return history.Operation{
		Family: "f", Kind: kind, Token: token, Instance: "a", Outcome: outcome, Next: next,
		Asked: began.Add(time.Duration(from) * time.Second), Answered: began.Add(time.Duration(to) * time.Second),
	}
}

// B09, D01: what a history can be, and what not.
func TestJudge_B09_D01(t *testing.T) {
	const (
		redeem, refresh, revoke = history.Redeem, history.Refresh, history.Revoke
		done, refused, lost     = history.Done, history.Refused, history.Lost
	)
	for _, test := range []struct {
		name    string
		history []history.Operation
		wrong   bool
	}{
		{"nothing", nil, false},
		{"one claim of racers", []history.Operation{at(0, 9, redeem, "", refused, ""), at(1, 8, redeem, "", done, "r1"), at(0, 5, redeem, "", refused, "")}, false},
		{"claimed twice", []history.Operation{at(0, 9, redeem, "", done, "r1"), at(1, 8, redeem, "", done, "r2")}, true},
		{"refused before anybody claimed", []history.Operation{at(0, 1, redeem, "", refused, ""), at(2, 3, redeem, "", done, "r1")}, true},
		{"refused, and the other's answer lost", []history.Operation{at(0, 1, redeem, "", lost, ""), at(2, 3, redeem, "", refused, "")}, false},
		{"not claimed by the one whose answer was lost", []history.Operation{at(0, 1, redeem, "", lost, ""), at(2, 3, redeem, "", done, "r1"), at(4, 5, refresh, "r1", done, "r2")}, false},
		{"claimed after all by the one whose answer was lost", []history.Operation{at(0, 1, redeem, "", lost, ""), at(2, 3, redeem, "", done, "r1"), at(4, 5, refresh, "r1", refused, "")}, false},
		{"a code again ends the family", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, redeem, "", refused, ""), at(4, 5, refresh, "r1", refused, "")}, false},
		{"a family outlives the reuse of its code", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, redeem, "", refused, ""), at(4, 5, refresh, "r1", done, "r2")}, true},
		{"the same successor", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 9, refresh, "r1", done, "r2"), at(3, 8, refresh, "r1", done, "r2"), at(10, 11, refresh, "r2", done, "r3")}, false},
		{"two successors", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 9, refresh, "r1", done, "r2"), at(3, 8, refresh, "r1", done, "r3")}, true},
		{"a lost answer is repeated", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", lost, ""), at(4, 5, refresh, "r1", done, "r2"), at(6, 7, refresh, "r2", done, "r3")}, false},
		{"a family is lost", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", refused, "")}, true},
		{"a rotation is lost", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", done, "r2"), at(4, 5, refresh, "r2", refused, "")}, true},
		{"a rotation is undone", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", done, "r2"), at(4, 5, refresh, "r1", done, "r3")}, true},
		{"an older one ends the family", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", done, "r2"), at(4, 5, refresh, "r2", done, "r3"), at(6, 7, refresh, "r1", refused, ""), at(8, 9, refresh, "r3", refused, "")}, false},
		{"an older one works", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", done, "r2"), at(4, 5, refresh, "r2", done, "r3"), at(6, 7, refresh, "r1", done, "r2")}, true},
		{"a family outlives the reuse of an older one", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, refresh, "r1", done, "r2"), at(4, 5, refresh, "r2", done, "r3"), at(6, 7, refresh, "r1", refused, ""), at(8, 9, refresh, "r3", done, "r4")}, true},
		{"revoked", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 5, revoke, "", done, ""), at(3, 4, refresh, "r1", done, "r2"), at(6, 7, refresh, "r2", refused, "")}, false},
		{"alive after the revocation", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, revoke, "", done, ""), at(4, 5, refresh, "r1", done, "r2")}, true},
		{"a revocation whose answer was lost", []history.Operation{at(0, 1, redeem, "", done, "r1"), at(2, 3, revoke, "", lost, ""), at(4, 5, refresh, "r1", done, "r2"), at(6, 7, refresh, "r2", refused, "")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := history.Judge(test.history)
			if (err != nil) != test.wrong {
				t.Errorf("judged %v, want an error: %v", err, test.wrong)
			}
		})
	}
}

// A history of many racers is judged at once, whether it is right or not.
func TestManyRacers_B09(t *testing.T) {
	for winners, wrong := range []bool{true, false, true} {
		var all []history.Operation
		for n := range 64 {
			o := at(n, 100+n, history.Redeem, "", history.Refused, "")
			if n < winners {
				o.Outcome, o.Next = history.Done, "r"+string(rune('a'+n))
			}
			all = append(all, o)
		}
		began := time.Now()
		if err := history.Judge(all); (err != nil) != wrong || winners > 0 && time.Since(began) > 10*time.Second {
			t.Errorf("%d winners: judged %v in %v, want an error: %v", winners, err, time.Since(began), wrong)
		}
	}
}

// A token is a secret, and what is wrong is printed.
func TestNoTokenIsPrinted(t *testing.T) {
	secret := "mcprt_secret"
	err := history.Judge([]history.Operation{
		at(0, 1, history.Redeem, "", history.Done, secret), at(2, 3, history.Refresh, secret, history.Refused, ""),
	})
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "refresh 1: refused") {
		t.Errorf("printed %v", err)
	}
}

func TestRecord(t *testing.T) {
	var r history.Recorder
	r.Record(history.Operation{Family: "f", Kind: history.Redeem}, func(o *history.Operation) { o.Outcome, o.Next = history.Done, "r1" })
	r.Record(history.Operation{Family: "f", Kind: history.Refresh, Token: "r1"}, func(*history.Operation) {})
	all := r.All()
	if len(all) != 2 || all[0].Next != "r1" || all[1].Outcome != history.Lost || all[1].Asked.Before(all[0].Answered) {
		t.Errorf("%+v", all)
	}
}
