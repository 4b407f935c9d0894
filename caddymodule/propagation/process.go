package propagation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// talkPatience bounds how long one announcement may take, and maxTalk how many
	// wait. One that is dropped costs a client a notice, and nobody a right.
	talkPatience = 10 * time.Second
	maxTalk      = 256

	elicitationTold = "elicitation"
	stepUpTold      = "step_up"
	attemptTold     = "provider_attempt"
)

// Process is what a process remembers of a store that it shares with others.
type Process struct {
	Store        storage.Watcher
	Tokens       *tokens.Cache
	Connections  *accounts.Shared
	StepUps      *gate.StepUps
	Streams      *gateway.Streams
	Elicitations *gateway.Elicitations

	// RefreshKeys makes the virtual keys what they are in the store by now.
	RefreshKeys func(context.Context)
	// ForgetValue has the site value of a name at an issuer read anew, if it is one that
	// is remembered; or, without a name, all of them at all issuers.
	ForgetValue func(issuer, name string)
	// Serving returns what judges open streams, nil while no configuration serves.
	Serving func() gateway.Serving
	// Failed is told how the last look for changes went.
	Failed func(error)
	// Late is told, when that changes, why changes arrive late, or nil.
	Late func(why error)

	late string
	talk chan announcement
}

type announcement struct {
	name string
	what any
}

// Begin has what is remembered tell other processes, by Talk. It is called before
// anything else. Of several stores in a process, those on the one that was opened
// last are told.
func (p *Process) Begin() {
	p.talk = make(chan announcement, maxTalk)
	stepUp := func(s gate.SteppedUp) { p.say(stepUpTold, s) }
	elicitation := func(m gateway.Message) { p.say(elicitationTold, m) }
	attempt := func(a accounts.Attempt) { p.say(attemptTold, a) }
	p.Connections.Tell.Store(&attempt)
	p.StepUps.Tell.Store(&stepUp)
	p.Elicitations.Tell.Store(&elicitation)
}

func (p *Process) say(name string, what any) {
	select {
	case p.talk <- announcement{name, what}:
	default:
	}
}

// Talk tells other processes what they are to be told, until the context ends.
func (p *Process) Talk(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-p.talk:
			text, err := json.Marshal(a.what)
			if err != nil {
				continue
			}
			talking, cancel := context.WithTimeout(ctx, talkPatience)
			_ = p.Store.Announce(talking, "", a.name, string(text)) // Failed hears of a store that is away
			cancel()
		}
	}
}

// Follow applies what others change, until the context ends or a watch cannot be
// begun. It can be called again.
func (p *Process) Follow(ctx context.Context) {
	w, err := p.Store.Watch(ctx)
	if err != nil {
		p.failed(ctx, err)
		return
	}
	defer w.Close()
	p.apply(ctx, []storage.Change{{Kind: storage.ChangesMissed}}) // before it was begun
	for ctx.Err() == nil {
		changes, err := w.Next(ctx)
		p.failed(ctx, err)
		p.tellLate(w.Polls())
		p.apply(ctx, changes)
	}
}

func (p *Process) failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		p.Failed(err)
	}
}

func (p *Process) tellLate(why error) {
	text := ""
	if why != nil {
		text = why.Error()
	}
	if text != p.late {
		p.late = text
		p.Late(why)
	}
}
