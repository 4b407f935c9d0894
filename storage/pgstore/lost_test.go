//go:build postgres

package pgstore

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// cut is a network that breaks once, at a request or before its answer.
type cut struct {
	at     atomic.Int64 // counts requests down; 0 breaks none
	answer bool         // the request arrives, its answer does not
	// refuses counts down how many connections are refused once it broke.
	refuses atomic.Int64
}

func (c *cut) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.at.Load() == 0 && c.refuses.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, cut: c}, nil
}

type cutConn struct {
	net.Conn
	cut    *cut
	broken atomic.Bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	if c.cut.at.Load() > 0 && c.cut.at.Add(-1) == 0 {
		c.broken.Store(true)
		if !c.cut.answer {
			_ = c.Close()
			return 0, io.ErrClosedPipe
		}
		n, err := c.Conn.Write(b)
		time.Sleep(20 * time.Millisecond) // the server is done
		_ = c.Close()
		return n, err
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	if c.broken.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b)
	if c.broken.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Whichever request or answer gets lost, a one-time value is used once, and
// whoever used it hears so.
func TestLostAnswers_D13(t *testing.T) {
	_, schema, _ := openSchema(t, schemas)
	for _, answer := range []bool{false, true} {
		for at := int64(1); at <= 8; at++ {
			t.Run(fmt.Sprintf("answer %t, request %d", answer, at), func(t *testing.T) {
				c, err := Parse(Options{DSN: server.DSN(), Schema: schema, MaxConnections: 2})
				if err != nil {
					t.Fatal(err)
				}
				broken := &cut{answer: answer}
				c.pool.ConnConfig.DialFunc = broken.dial
				s, err := Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				now := time.Now()
				value := storage.HashOf(t.Name())
				broken.at.Store(at)
				for i, want := range []bool{true, false} {
					got, err := s.UseOnce(t.Context(), value, now.Add(time.Hour), now)
					if err != nil || got != want {
						t.Fatalf("call %d: %t, %v; want %t", i, got, err, want)
					}
				}
			})
		}
	}
}

// Who cannot find out either whether the commit happened whose answer got lost is told
// of an error, and never of what the verb comes to when it runs once more.
func TestLostAnswerThatCannotBeLookedUp_D13(t *testing.T) {
	_, schema, _ := openSchema(t, schemas)
	unknown := 0
	for at := int64(1); at <= 8; at++ {
		c, err := Parse(Options{DSN: server.DSN(), Schema: schema, MaxConnections: 2})
		if err != nil {
			t.Fatal(err)
		}
		broken := &cut{answer: true}
		c.pool.ConnConfig.DialFunc = broken.dial
		broken.at.Store(1 << 40)
		s, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		broken.refuses.Store(maxRetries + 3) // each try to look it up, and twice that the server is asked to cancel
		broken.at.Store(at)
		first, err := s.UseOnce(t.Context(), storage.HashOf(fmt.Sprint("value ", at)), now.Add(time.Hour), now)
		if !first && err == nil {
			t.Errorf("the answer to request %d got lost: whoever used the value hears that somebody else has", at)
		}
		if storage.Unreachable(err) {
			unknown++
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if unknown == 0 {
		t.Error("no answer to a commit got lost")
	}
}

// What was acknowledged outlives restarts of the server under load, and is
// acknowledged once.
func TestRestarts_D14(t *testing.T) {
	s, _, _ := openSchema(t, schemas)
	now := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	acknowledged := map[storage.Hash]int{}
	var failures atomic.Int64
	var racers sync.WaitGroup
	for racer := range 8 {
		racers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				value := storage.HashOf(fmt.Sprint("value ", i, racer/2)) // two want the same
				first, err := s.UseOnce(context.Background(), value, now.Add(time.Hour), now)
				if err != nil {
					failures.Add(1)
					i-- // once more
				}
				if first {
					mu.Lock()
					acknowledged[value]++
					mu.Unlock()
				}
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		if err := server.Run(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	cancel()
	racers.Wait()
	t.Logf("%d acknowledged, %d failed meanwhile", len(acknowledged), failures.Load())
	if len(acknowledged) < 20 {
		t.Errorf("only %d acknowledged", len(acknowledged))
	}
	oauthtest.Eventually(t, "the database does not come back", func() bool { return s.Check(t.Context()) == nil })
	for value, times := range acknowledged {
		if used, err := s.Used(t.Context(), value, now); times != 1 || err != nil || !used {
			t.Errorf("acknowledged %d times, used %t, %v", times, used, err)
		}
	}
}

// A deadlock is tried again, and nobody hears of it.
func TestDeadlock(t *testing.T) {
	s, _, _ := openSchema(t, schemas)
	// The rows are there, so that who waits for one gets it before who comes again: of a
	// row that another has not stored yet, either can be the next to store it.
	if err := change(t.Context(), s.db, func(tx *tx) error {
		tx.lock([]byte("a"))
		tx.lock([]byte("b"))
		return tx.send()
	}); err != nil {
		t.Fatal(err)
	}
	var racers sync.WaitGroup
	var met sync.WaitGroup
	met.Add(2)
	runs := atomic.Int64{}
	for racer := range 2 {
		racers.Go(func() {
			first := true
			err := change(t.Context(), s.db, func(tx *tx) error {
				runs.Add(1)
				locks := [][]byte{[]byte("a"), []byte("b")}
				tx.lock(locks[racer])
				if err := tx.send(); err != nil {
					return err
				}
				if first {
					first = false
					met.Done()
					met.Wait()
				}
				tx.lock(locks[1-racer])
				return tx.send()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	racers.Wait()
	if runs.Load() != 3 {
		t.Errorf("%d runs, want 3: one again", runs.Load())
	}
}

// counted notes how many requests a verb sends to the server.
type counted struct {
	storage.Store
	requests *cut
	most     map[string]int64
}

func count[T any](c *counted, verb string, call func() (T, error)) (T, error) {
	const many = 1 << 40
	c.requests.at.Store(many)
	out, err := call()
	c.most[verb] = max(c.most[verb], many-c.requests.at.Load())
	return out, err
}

func (c *counted) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return count(c, "SaveFlow", func() (storage.Verdict, error) { return c.Store.SaveFlow(ctx, f, now) })
}

func (c *counted) SubmitFlow(ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
	return count(c, "SubmitFlow", func() (storage.Verdict, error) { return c.Store.SubmitFlow(ctx, sub) })
}

func (c *counted) ClaimCode(ctx context.Context, claim storage.CodeClaim) (storage.CodeResult, error) {
	return count(c, "ClaimCode", func() (storage.CodeResult, error) { return c.Store.ClaimCode(ctx, claim) })
}

func (c *counted) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	return count(c, "RotateRefreshToken", func() (storage.RotationResult, error) { return c.Store.RotateRefreshToken(ctx, r) })
}

// Each step of a sign-in takes at most three round trips.
func TestRoundTrips(t *testing.T) {
	_, schema, _ := openSchema(t, schemas)
	c, err := Parse(Options{DSN: server.DSN(), Schema: schema, MaxConnections: 1})
	if err != nil {
		t.Fatal(err)
	}
	requests := new(cut)
	c.pool.ConnConfig.DialFunc = requests.dial
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	most := map[string]int64{}
	for range 2 { // the first prepares the statements of the connection
		clear(most)
		storetest.Life(t, &counted{s, requests, most}, seal.Under)
		for _, table := range recordTables {
			sql(t, "delete from "+schema+"."+table)
		}
	}
	t.Log(most)
	if len(most) != 4 {
		t.Error("a step was not taken")
	}
	for verb, n := range most {
		if n > 3 {
			t.Errorf("%s takes %d round trips", verb, n)
		}
	}
}
