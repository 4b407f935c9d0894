// Package process keeps what belongs to the Caddy process: what is open, and what
// it remembers of senders, clients and providers. It is no configuration's, nor a
// store's, so that neither a reload nor a move to another database or with other
// settings of it cuts a stream, or forgives who guesses.
//
// What it keeps allows nothing. Whether a stream may go on is up to the
// configuration that serves, which asks its own store. What is cached of a store
// stays with the store, in package caddymodule. Pool is how the configurations of the
// process share a store.
package process

import (
	"crypto/rand"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
)

const (
	limiterSize = 1 << 14 // for each kind of limit
	stepUpsSize = 1 << 14
)

// Process is what there is once in a process.
type Process struct {
	Limiter      *ratelimit.Limiter
	Documents    *clients.DocumentCache
	Providers    *oidc.Directory
	StepUps      *gate.StepUps
	Streams      *gateway.Streams
	Elicitations *gateway.Elicitations
	Traces       *trace.Recorder
	// EphemeralKey seals what no store keeps for longer than the process lives.
	EphemeralKey [encryptionkey.Size]byte
}

var (
	mu      sync.Mutex // guards all below
	current *Process
	holders int
)

// Acquire returns what the process has. Who has acquired it calls Release.
func Acquire() *Process {
	mu.Lock()
	defer mu.Unlock()
	if holders++; holders == 1 {
		current = newProcess()
	}
	return current
}

func newProcess() *Process {
	p := &Process{
		Limiter:      ratelimit.New(limiterSize),
		Documents:    clients.NewDocumentCache(),
		Providers:    oidc.NewDirectory(),
		StepUps:      gate.NewStepUps(stepUpsSize),
		Streams:      gateway.NewStreams(),
		Elicitations: gateway.NewElicitations(),
		Traces:       trace.NewRecorder(trace.DefaultLimits, ratelimit.SenderBlock),
	}
	_, _ = rand.Read(p.EphemeralKey[:]) // never fails, see crypto/rand
	return p
}

// Release lets go of it. Nobody could check the open streams once nobody has it:
// they end, and other calls after gateway.StopGrace.
func (p *Process) Release() {
	mu.Lock()
	holders--
	last := holders == 0
	if last {
		current = nil
	}
	mu.Unlock()
	if last {
		p.Streams.Close(gateway.StopGrace)
	}
}
