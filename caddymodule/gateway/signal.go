package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/inert"
)

// scopeAsksPerMinute bounds how often a person is asked to consent to more
// scopes at one server: one that still wants some then wants what it will not
// get (MCP authorization, step-up).
const scopeAsksPerMinute = 3

// maxLinkScopes bounds what scopes add to a link.
const maxLinkScopes = 2 << 10

// answerRoom is what the answer to our input request adds to a retry, besides
// its state: the names of two members, the key of the request, an action, and
// whatever else a client puts there.
const answerRoom = 1 << 10

// signal tells the client of a call what is the matter with the account that
// the call needs, in the best way that the client understands.
type signal struct {
	call    *Call
	site    *Site
	w       http.ResponseWriter
	r       *http.Request
	request *mcp.Request // what the body asks for; nil if that cannot be told
}

func newSignal(c *Call, w http.ResponseWriter, r *http.Request) *signal {
	return &signal{c, c.server.Site, w, r, c.request.parsed()}
}

// noCredential answers a call for which there is no working credential.
func (s *signal) noCredential(err error) {
	if s.call.rejectMismatch(s.w, s.r, s.request) {
		return
	}
	missing := errors.Is(err, accounts.ErrNotConnected) || errors.Is(err, accounts.ErrNeedsReauth)
	switch {
	case missing && s.isShared():
		s.fail(http.StatusServiceUnavailable, "account_not_connected", "An operator has to connect this MCP server first.", err)
	case missing && s.isService():
		s.reply(http.StatusForbidden, "service_not_connected", fmt.Sprintf("An operator has to connect an account at %s for this program first: %s", s.call.server.Title, s.startCommand()))
	case missing:
		s.askToConnect(nil)
	case errors.Is(err, errOtherAccount):
		s.call.noSession(s.w, s.r)
	case errors.Is(err, accounts.ErrRefused):
		s.callDenied()
	case errors.Is(err, errBodyNotKept):
		s.fail(http.StatusServiceUnavailable, "body_not_kept", "The account was renewed; send the call again.", err)
	case errors.Is(err, accounts.ErrDamaged):
		s.fail(http.StatusBadGateway, "account_damaged", "The stored account cannot be read; an operator has to look.", err)
	case errors.Is(err, accounts.ErrUnavailable):
		s.fail(http.StatusServiceUnavailable, "provider_unavailable", "The provider of this MCP server does not answer; try again shortly.", err)
	default:
		s.unavailable(err)
	}
}

// unavailable answers where the store failed, or the client hung up.
func (s *signal) unavailable(err error) {
	s.fail(http.StatusServiceUnavailable, "unavailable", "The server cannot answer right now; try again shortly.", err)
}

// insufficientScope answers for an account that works but lacks scopes: the
// person is asked to consent to them, if the upstream says which (RFC 6750
// section 3 lets it leave that out).
func (s *signal) insufficientScope(scopes []string) {
	if s.call.rejectMismatch(s.w, s.r, s.request) {
		return
	}
	slices.Sort(scopes)
	if n := len(strings.Join(scopes, " ")); n > maxLinkScopes {
		s.call.server.record(s.r, s.call, event.Event{
			Kind: event.ServerMisconfigured, Reason: "too_many_scopes", Err: fmt.Errorf("%d scopes of %d bytes", len(scopes), n),
			Detail: "The MCP server wants more scopes than a link has room for; configure scopes of the server, and connect again.",
		})
		scopes = nil
	}
	if s.isService() && !s.isShared() {
		s.reply(http.StatusForbidden, "scope_missing", fmt.Sprintf("The account at %s is not allowed to do this. An operator can connect it again: %s", s.call.server.Title, s.startCommand()))
		return
	}
	if s.isShared() || len(scopes) == 0 || !s.allowScopeAsk() {
		s.reply(http.StatusForbidden, "scope_missing", fmt.Sprintf("The account at %s is not allowed to do this.", s.call.server.Title))
		return
	}
	s.askToConnect(scopes)
}

// isShared reports whether an operator connected the account, for everybody.
func (s *signal) isShared() bool { return s.call.server.Auth.Mode == config.OAuth }

// isService reports whether a program calls that acts for nobody: there is no person
// to open a link, so an operator connects accounts for it.
func (s *signal) isService() bool { return s.call.caller.IsService() }

// startCommand is how an operator does that. What a program is called may be the name
// of a branch, and operators copy the line: nothing in it must mean anything to a shell.
func (s *signal) startCommand() string {
	return fmt.Sprintf("caddy mcp-oauth connections start %s --subject %s", s.call.server.ID, cmp.Or(inert.Shell(s.call.caller.Identity.Subject), "PROGRAM"))
}

// callDenied answers for an upstream that denies this call, while nothing says
// that the account works no more: neither connection nor grant ends, whatever
// the client sent. The person is told where to connect anew, should that help.
func (s *signal) callDenied() {
	message := fmt.Sprintf("%s does not accept this call.", s.call.server.Title)
	switch {
	case s.isShared():
	case s.isService():
		message += " An operator can connect the account again, if it no longer works: " + s.startCommand()
	default:
		message += fmt.Sprintf(" Open %s to connect your account again if it no longer works.", s.connectURL())
	}
	s.reply(http.StatusBadGateway, "call_denied", message)
}

// fail answers with a failure of ours or of the provider.
func (s *signal) fail(status int, reason, message string, cause error) {
	id := s.call.server.refer(s.r, s.call, event.Event{
		Kind: event.CallFailed, Reason: reason, Detail: message, Status: status, Err: cause, Known: s.r.Context().Err() != nil,
	})
	if status == http.StatusServiceUnavailable {
		s.w.Header().Set("Retry-After", "5")
	}
	mcp.WriteErrorTo(s.w, s.request, status, message, id)
}

// allowScopeAsk counts one more time that the person is asked for more scopes at
// this server. Which scopes does not matter: the server chooses them.
func (s *signal) allowScopeAsk() bool {
	key := s.site.Issuer + " " + s.call.server.ID + " " + s.call.caller.Identity.Subject
	return s.site.Limiter.Allow("scope_ask", key, scopeAsksPerMinute)
}

func (s *signal) connectURL(scopes ...string) string {
	return s.site.ConnectURL(s.call.caller.Identity, s.call.server.ID, scopes...)
}

// askToConnect tells the client to have its person connect the server, or
// consent to more scopes there.
func (s *signal) askToConnect(scopes []string) {
	if s.r.Method == http.MethodDelete { // the session went with the account
		s.call.noSession(s.w, s.r)
		return
	}
	request, caller, title := s.request, s.call.caller, s.call.server.Title
	revision := s.call.request.header.Get(mcp.HeaderProtocolVersion)
	link := s.connectURL(scopes...)
	message := fmt.Sprintf("Connect your account at %s to go on.", title)
	// Some clients cut what they show after 300 characters: the link comes first.
	words := fmt.Sprintf("Open %s in a browser to connect your account at %s, then try again.", link, title)
	byURL, declined := s.call.awaitsNotification(), s.call.account.round.Declined
	switch {
	case request == nil || request.ID == nil:
		if byURL {
			s.rejectUnasked(message)
			return
		}
	case request.Method == mcp.Subscribe && request.URLElicitation:
		s.rejectUnasked(message)
		return
	case request.TakesInput() && request.URLElicitation && request.Revision == revision && !declined:
		if s.requireInput(link, message) {
			return
		}
	case byURL:
		s.requireElicitation(link, message, scopes)
		return
	}
	// A virtual key has no authorization page behind it, and that of a dashboard
	// connects nothing. Nor does that page know which scopes are missing, and whoever
	// declined must not be sent there.
	if caller.ClientID == "" || s.site.ConsentElsewhere || len(scopes) > 0 || declined {
		s.noteAsked(link, mcp.InWords)
		s.reply(http.StatusForbidden, "asked_in_words", words)
		return
	}
	// While the person has a link, the client waits, and whatever else it sends
	// can wait with it.
	open, err := s.site.Elicitations.links.IsOpen(s.r.Context(), s.site.Store, elicitedSession(s.call).Client, time.Now())
	if err != nil { // its grant might end for nothing
		s.unavailable(err)
		return
	}
	if open {
		s.noteAsked(link, mcp.InWords)
		s.rejectUnasked(words)
		return
	}
	if revision == "" && request != nil { // an initialize has no header yet
		revision = request.Revision
	}
	s.call.server.Gate.Disconnected(s.w, s.r, caller, revision)
}

// requireInput answers with input_required, if the retry will be buffered whole, as
// it must be for our state to be taken out again (D-25). It reports whether it
// answered.
func (s *signal) requireInput(link, message string) bool {
	state, err := s.site.States.Mint(s.call.asked(), s.request, s.call.account.round, time.Now().Add(s.site.Ahead()))
	retry := len(s.call.request.body.Bytes()) + len(state) + len(s.call.server.ID) + answerRoom
	if err != nil || retry > mcp.MaxRequest {
		return false
	}
	if !s.begin() {
		return true
	}
	s.noteAsked(link, mcp.ByInputRequired)
	s.asked("asked_by_input_required")
	mcp.WriteInputRequired(s.w, s.request, s.call.server.ID, link, message, state)
	return true
}

// begin notes that the client is given a link. It reports false if that was not
// possible, and answers then.
func (s *signal) begin() bool {
	err := s.site.Elicitations.links.Begin(s.r.Context(), s.site.Store, elicitedSession(s.call).Client, time.Now())
	if err != nil {
		s.unavailable(err)
	}
	return err == nil
}

// requireElicitation answers with error -32042. The session is told when the
// link was used.
func (s *signal) requireElicitation(link, message string, scopes []string) {
	if !s.begin() {
		return
	}
	s.site.Elicitations.await(link, elicitedSession(s.call), scopes, time.Now())
	s.noteAsked(link, mcp.ByElicitation)
	s.asked("asked_by_elicitation")
	mcp.WriteURLElicitationRequired(s.w, s.request, elicitationID(link), link, message)
}

// asked records that the client was given a link in a way that shows no reference.
func (s *signal) asked(how string) {
	s.call.server.record(s.r, s.call, event.Event{Kind: event.CallNeedsAccount, Reason: how})
}

// noteAsked notes that the client has a link for its person. One that sends a
// virtual key has no grant, and no name that anybody knows.
func (s *signal) noteAsked(link string, how mcp.Signal) {
	if s.call.caller.GrantID != "" {
		s.site.Elicitations.noteAsked(link, elicitedSession(s.call).Client, how, time.Now())
	}
}

// rejectUnasked rejects what a client sends or opens by itself, and which takes
// no question: its next request will be asked. Its grant must not end before.
func (s *signal) rejectUnasked(message string) {
	if s.r.Method == http.MethodGet { // the answer of a server without such a stream, which clients put up with
		s.w.Header().Set("Allow", "POST, DELETE")
		id := s.call.server.refer(s.r, s.call, event.Event{Kind: event.CallNeedsAccount, Reason: "account_missing", Status: http.StatusMethodNotAllowed})
		mcp.WriteError(s.w, http.StatusMethodNotAllowed, message, id) // the log must not have the link in it
		return
	}
	s.reply(http.StatusForbidden, "account_missing", message)
}

// reply answers in words: to a tool call as its result, which people and models
// get to see, else as an error.
func (s *signal) reply(status int, reason, message string) {
	id := s.call.server.refer(s.r, s.call, event.Event{Kind: event.CallNeedsAccount, Reason: reason, Status: status})
	if s.request != nil && s.request.IsToolCall() {
		mcp.WriteToolError(s.w, s.request, message)
		return
	}
	mcp.WriteErrorTo(s.w, s.request, status, message, id)
}
