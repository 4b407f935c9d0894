//go:build integration && linux

package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/history"
)

// endurance is how long a client or person tries again before they give up.
const endurance = 45 * time.Second

// load is people who sign in, connect, call and refresh through the balancer,
// all the time, and try again what fails, as people and their clients do.
type load struct {
	cluster *cluster
	stop    context.CancelFunc
	all     sync.WaitGroup

	// done counts what succeeded, again what was tried once more, and gaveUp what
	// never did.
	done, again, gaveUp atomic.Int64
	longest             durations

	mu       sync.Mutex
	families []*family // that were acknowledged, with their owner
	owners   map[*family]*person
	problems []string
}

// begin lets n people begin.
func (c *cluster) load(t *testing.T, n int) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{cluster: c, stop: stop, owners: map[*family]*person{}}
	for k := range n {
		l.all.Go(func() { l.live(ctx, t, c.person(t, k)) })
	}
	t.Cleanup(func() { l.stop(); l.all.Wait() })
	return l
}

// live is one person's day.
func (l *load) live(ctx context.Context, t testing.TB, p *person) {
	for ctx.Err() == nil {
		f := l.signIn(ctx, t, p)
		if f == nil {
			continue
		}
		for range 6 {
			if ctx.Err() != nil {
				return
			}
			l.patiently(ctx, "a call", func() (bool, string) {
				status, body := p.call(f)
				if f.path == "/notes" && status == http.StatusOK && !strings.Contains(body, `"account":"`+p.account+`"`) {
					l.problem("a call of %s was answered: %s", p.account, body)
				}
				return status == http.StatusOK, fmt.Sprintf("%d %.200s", status, body)
			})
			l.rotate(ctx, p, f)
			// No more than the limit of refreshes of a grant.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second + rand.N(200*time.Millisecond)):
			}
		}
	}
}

// signIn signs in until there are tokens. A client that hears nothing of its
// code begins anew.
func (l *load) signIn(ctx context.Context, t testing.TB, p *person) *family {
	var f *family
	path := []string{"/mcp", "/notes"}[rand.N(2)]
	l.patiently(ctx, "a sign-in", func() (bool, string) {
		if err := try(t, func(t testing.TB) { f = p.begin(t, path) }); err != nil {
			return false, err.Error()
		}
		o := p.redeem(f)
		if o.Outcome == history.Refused {
			l.problem("a fresh code was refused")
		}
		return o.Outcome == history.Done, string(o.Outcome)
	})
	if f == nil || f.refresh == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.families = append(l.families, f)
	l.owners[f] = p
	return f
}

// rotate refreshes until there is an answer.
func (l *load) rotate(ctx context.Context, p *person, f *family) {
	l.patiently(ctx, "a refresh", func() (bool, string) {
		o := p.rotate(f)
		if o.Outcome == history.Refused {
			l.problem("the newest refresh token of a family was refused: a grant or a rotation is lost")
		}
		return o.Outcome != history.Lost, string(o.Outcome)
	})
}

// patiently does it until it is done.
func (l *load) patiently(ctx context.Context, what string, do func() (bool, string)) {
	began := time.Now()
	for try := 0; ; try++ {
		done, why := do()
		if done {
			l.done.Add(1)
			l.longest.add(time.Since(began))
			return
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > endurance {
			l.gaveUp.Add(1)
			l.problem("%s did not succeed in %v, last: %s", what, endurance, why)
			return
		}
		l.again.Add(1)
		time.Sleep(min(time.Second, 50*time.Millisecond<<min(try, 5)) + rand.N(50*time.Millisecond))
	}
}

func (l *load) problem(text string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, fmt.Sprintf(text, args...))
}

// counts are what happened up to a moment.
type counts struct{ done, again, gaveUp int64 }

func (l *load) counts() counts { return counts{l.done.Load(), l.again.Load(), l.gaveUp.Load()} }

// during tells what the people did while something happened, and fails the test
// if that was not what they may expect.
func (l *load) during(t *testing.T, what string, happens func()) {
	t.Helper()
	l.longest.reset()
	before, began := l.counts(), time.Now()
	happens()
	took := time.Since(began)
	l.recover(t)
	after := l.counts()
	t.Logf("%s: in %v %d done, %d tried again, %d given up; the longest took %v; all works %v after the end",
		what, took.Round(time.Millisecond), after.done-before.done, after.again-before.again, after.gaveUp-before.gaveUp,
		l.longest.max(), (time.Since(began) - took).Round(time.Millisecond))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, problem := range l.problems {
		t.Errorf("%s: %s", what, problem)
	}
	l.problems = nil
}

// recover waits until each instance does everything again.
func (l *load) recover(t *testing.T) {
	t.Helper()
	for n, i := range l.cluster.instances {
		i.awaitReady(t)
		p := l.cluster.person(t, n).at(i)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			err := try(t, func(t testing.TB) {
				f := p.signIn(t, "/mcp")
				if status, body := p.call(f); status != http.StatusOK {
					t.Fatalf("a call: %d %s", status, body)
				}
			})
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not sign anybody in: %v", i.name, err)
			}
		}
	}
}

// end lets everybody stop, and then looks for all that was acknowledged: each
// client is still registered, and each grant still has its newest refresh token.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.all.Wait()
	for n, f := range l.families {
		p := l.owners[f].at(l.cluster.instances[n%len(l.cluster.instances)])
		if o := p.rotate(f); o.Outcome != history.Done {
			t.Errorf("grant %d of %d, which was acknowledged: %s", n, len(l.families), o.Outcome)
		}
		if page := p.browser.Open(t, f.client.Link(l.cluster.URL+f.path)); page.Status != http.StatusOK || page.Leaving != nil {
			t.Errorf("client %d of %d, which was registered: %d %s", n, len(l.families), page.Status, page.Text())
		}
		if f.path != "/notes" {
			continue
		}
		if status, body := p.call(f); status != http.StatusOK || !strings.Contains(body, `"account":"`+p.account+`"`) {
			t.Errorf("connection of %s, which was acknowledged: %d %s", p.account, status, body)
		}
	}
	t.Logf("%d registrations, grants and newest refresh tokens were acknowledged, and all are there", len(l.families))
}
