package oauthtest

import "net/http"

// Canary is in what an upstream must not be able to tell anybody.
const Canary = "canary-of-the-upstream"

// Fault answers a request to a Provider instead of what is true.
type Fault struct {
	// Processed: the provider did its work before.
	Processed bool
	// NotProcessed: the answer says that the provider did nothing.
	NotProcessed bool
	Answer       http.HandlerFunc
}

// Faults that have no parameters.
var (
	Down       = Fault{NotProcessed: true, Answer: Answer(http.StatusServiceUnavailable, "text/html", Canary)}
	LostBefore = Fault{Answer: HangUp}
	LostAfter  = Fault{Processed: true, Answer: HangUp}
	Garbage    = Fault{Processed: true, Answer: Answer(http.StatusOK, "text/html", "<html>"+Canary+"</html>")}
)

// Refusal refuses with an error code.
func Refusal(status int, code string) Fault {
	return Fault{Answer: Answer(status, "application/json", `{"error":"`+code+`","error_description":"`+Canary+`"}`)}
}

// Later refuses without having looked at the token.
func Later(status int, code string) Fault {
	f := Refusal(status, code)
	f.NotProcessed = true
	return f
}

// Fail makes the next token and revocation requests fail, in order.
func (p *Provider) Fail(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// PendingFaults returns how many requests are still to fail.
func (p *Provider) PendingFaults() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.faults)
}

// nextFault returns the fault of the next request. p.mu is held.
func (p *Provider) nextFault() (next Fault) {
	if len(p.faults) > 0 {
		next, p.faults = p.faults[0], p.faults[1:]
	}
	return next
}

// SetOutage has all token requests fail, until it is called with nil.
func (p *Provider) SetOutage(f *Fault) { p.Change(func() { p.Outage = f }) }

// Hold holds back the answers to token requests until release is called.
func (p *Provider) Hold() (release func()) {
	held := make(chan struct{})
	p.Change(func() { p.held = held })
	return func() {
		p.Change(func() { p.held = nil })
		close(held)
	}
}
