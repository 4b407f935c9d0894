package upstream

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (l *lab) onceTrip() Trip {
	t := l.trip()
	t.Once = storage.HashOf("a link")
	return t
}

func TestOneConnectionOfSeveralTrips(t *testing.T) {
	l := newLab(t)
	first, second := l.answerTo(l.begin(l.onceTrip())), l.answerTo(l.begin(l.onceTrip()))
	third := l.answerTo(l.begin(l.onceTrip()))
	if _, err := l.Finish(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	before, _ := l.connection()
	for _, late := range []Answer{first, third} {
		_, err := l.Finish(t.Context(), late)
		wantProblem(t, err, TripEnded)
		l.now = l.now.Add(tripLifetime - time.Second)
	}
	if after, _ := l.connection(); after.Revision != before.Revision {
		t.Error("another connection took its place")
	}
	exchanged := 0
	for _, r := range l.provider.requests("/token") {
		if r.form.Get("code") == second.Code {
			exchanged++
		}
	}
	if exchanged != 1 {
		t.Errorf("%d codes were exchanged", exchanged)
	}
	l.connect() // what is not bound to a link goes on to work
}

// Trips that come back at the same time all have tokens before one is stored.
func TestOneConnectionOfTripsThatRace(t *testing.T) {
	l := newLab(t)
	const trips = 8
	var answers []Answer
	for range trips {
		answers = append(answers, l.answerTo(l.begin(l.onceTrip())))
	}
	var exchanging sync.WaitGroup
	exchanging.Add(trips)
	reply := document(object{"access_token": "at-1", "token_type": "Bearer"})
	l.provider.page("/token", func(w http.ResponseWriter, r *http.Request) {
		exchanging.Done()
		exchanging.Wait()
		reply(w, r)
	})
	outcomes := make(chan error, trips)
	for _, a := range answers {
		go func() {
			_, err := l.Finish(t.Context(), a)
			outcomes <- err
		}()
	}
	connected := 0
	for range trips {
		if err := <-outcomes; err == nil {
			connected++
		} else {
			wantProblem(t, err, TripEnded)
		}
	}
	if connected != 1 || l.connections()[0].Revision != 1 {
		t.Errorf("%d connected", connected)
	}
}

// What fails at the provider may be tried again with the same link.
func TestFailureUsesNothingUp(t *testing.T) {
	l := newLab(t)
	declined := l.answerTo(l.begin(l.onceTrip()))
	declined.Code, declined.Error = "", "access_denied"
	_, err := l.Finish(t.Context(), declined)
	wantProblem(t, err, Declined)

	honest := l.provider.pages["/token"]
	l.provider.page("/token", answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`))
	_, err = l.Finish(t.Context(), l.answerTo(l.begin(l.onceTrip())))
	wantProblem(t, err, ProviderRefused)

	l.provider.page("/token", honest)
	if _, err := l.Finish(t.Context(), l.answerTo(l.begin(l.onceTrip()))); err != nil {
		t.Error(err)
	}
}
