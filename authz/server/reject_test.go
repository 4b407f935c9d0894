package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// countedRates counts how often it is asked, and refuses nothing.
type countedRates struct{ asked int }

func (c *countedRates) TakeRates(context.Context, []storage.Rate) (bool, error) {
	c.asked++
	return true, nil
}

// N09: whoever floods the token endpoint with wrong secrets costs little: no slow hash,
// and no more writes to a store that processes share than the limit.
func TestWrongSecretsAreCheap_N09(t *testing.T) {
	ts := newTestServer(t, authConfig)
	rates := new(countedRates)
	ts.replace(func(d *Deps) { d.Limiter = d.Limiter.SharedBy(rates) })
	const requests = 5000
	statuses, began := map[int]int{}, time.Now()
	for range requests {
		r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(redemption("x").Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("basic", "wrong")
		statuses[ts.serve(r).Code]++
	}
	took := time.Since(began)
	if statuses[http.StatusUnauthorized] != authFailuresPerClient || statuses[http.StatusTooManyRequests] != requests-authFailuresPerClient {
		t.Errorf("answers %v", statuses)
	}
	if rates.asked != authFailuresPerClient {
		t.Errorf("the store was asked %d times, want %d", rates.asked, authFailuresPerClient)
	}
	// Thousands a second on a machine that does nothing else; a slow hash does a dozen.
	if perSecond := requests / took.Seconds(); perSecond < 100 {
		t.Errorf("%.0f are refused per second, want 100 even under load", perSecond)
	}
	t.Logf("%d were refused in %v", requests, took)
}
