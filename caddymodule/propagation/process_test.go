package propagation

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("the database is away")

// watched is a store that others change, and that can be away: it then lets callers
// wait for as long as they like.
type watched struct {
	changes chan []storage.Change
	away    bool
	begun   int // watches
	closed  int
	mu      sync.Mutex
	told    []string
}

func (w *watched) Watch(ctx context.Context) (storage.Watch, error) {
	if w.away {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w.begun++
	return watch{w}, nil
}

func (w *watched) Announce(ctx context.Context, _, name, text string) error {
	if w.away {
		<-ctx.Done()
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, name+" "+text)
	return nil
}

type watch struct{ *watched }

func (w watch) Next(ctx context.Context) ([]storage.Change, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case changes, ok := <-w.changes:
		if !ok {
			time.Sleep(time.Second)
			return nil, errAway
		}
		return changes, nil
	}
}

func (w watch) Polls() error { return nil }
func (w watch) Close()       { w.closed++ }

// begin has a process follow and talk, until stop returns.
func begin(t *testing.T, store *watched) (p *Process, failures *[]error, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	failures = new([]error)
	p = &Process{
		Store: store, Tokens: tokens.NewCache(memstore.New(), 8), Connections: accounts.NewShared(), StepUps: gate.NewStepUps(8),
		Streams: gateway.NewStreams(), Elicitations: gateway.NewElicitations(),
		RefreshKeys: func(context.Context) {}, ForgetValue: func(string, string) {}, Serving: func() gateway.Serving { return nil },
		Failed: func(err error) {
			if err != nil {
				*failures = append(*failures, err)
			}
		},
		Late: func(error) {},
	}
	p.Begin()
	var done sync.WaitGroup
	done.Go(func() { p.Follow(ctx) })
	done.Go(func() { p.Talk(ctx) })
	return p, failures, func() {
		cancel()
		done.Wait()
		p.Connections.Close()
	}
}

// What follows and what talks end when they are told to, and end their watch, whether
// the store answers, fails or says nothing at all.
func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		away, fails bool
	}{"at work": {}, "the store fails": {fails: true}, "the store says nothing": {away: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &watched{changes: make(chan []storage.Change), away: tt.away}
				p, failures, stop := begin(t, store)
				for range maxTalk + 9 { // more than fit
					p.StepUps.Told(gate.SteppedUp{}, time.Now())
					p.say(stepUpTold, gate.SteppedUp{GrantID: "g"})
				}
				if tt.fails {
					close(store.changes)
				}
				time.Sleep(3500 * time.Millisecond)
				began := time.Now()
				stop()
				if took := time.Since(began); took > time.Second {
					t.Errorf("it takes %v to end", took)
				}
				if store.begun != store.closed || (store.begun == 0) != tt.away {
					t.Errorf("%d watches were begun and %d closed", store.begun, store.closed)
				}
				if want := 3; tt.fails && len(*failures) != want || !tt.fails && len(*failures) != 0 {
					t.Errorf("told of %v", *failures)
				}
				if tt.away != (len(store.told) == 0) {
					t.Errorf("others were told %d times", len(store.told))
				}
			})
		})
	}
}
