package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const (
	// statePrefix starts a request state that may be ours. Only opening it tells.
	statePrefix   = "gwc1."
	stateLifetime = 15 * time.Minute
	// maxRounds is how often a client may say that its person agreed.
	maxRounds = 10
	// maxInnerState bounds what of an upstream's own round travels inside of ours.
	maxInnerState = 16 << 10
)

// errState tells that a request carries a state of ours that was made for
// another person, client or operation.
var errState = errors.New("mcp: the request state was made for another request")

// errInnerState tells that a request carries so much of an upstream's own
// state that ours cannot hold it.
var errInnerState = errors.New("mcp: the request state is too large")

// States makes and reads the request states that go with our input requests.
// The client holds them, so nothing in them is trusted unless it opens; they
// allow nothing: what a retry may do is decided by its token, like any call.
type States struct {
	keys   *seal.Keyring
	issuer string
}

// NewStates returns the states of one site.
func NewStates(keys *seal.Keyring, issuer string) *States { return &States{keys, issuer} }

// Asked is whom and what an input request was about.
type Asked struct {
	Subject string
	// Proof tells the person from whoever had the name before.
	Proof            string
	ClientID, Server string
}

// state is what is sealed.
type state struct {
	Subject   string `json:"u"`
	Proof     string `json:"p,omitempty"`
	ClientID  string `json:"c"`
	Method    string `json:"m"`
	Operation []byte `json:"o"` // SHA-256
	Round     int    `json:"r"`
	ExpiresAt int64  `json:"e"`
	// InnerState and InnerResponses are of the upstream's own round, which
	// goes on where ours ends.
	InnerState     json.RawMessage `json:"is,omitempty"`
	InnerResponses json.RawMessage `json:"ir,omitempty"`
}

// Round is what a retry says about our input request.
type Round struct {
	// Ours tells that the request carried a state of ours.
	Ours bool
	// Declined tells that the person said no, or was asked too often.
	Declined bool
	number   int
}

// Mint returns the state for an input request that answers r.
func (s *States) Mint(a Asked, r *Request, before Round, now time.Time) (string, error) {
	operation, err := r.operation()
	if err != nil {
		return "", err
	}
	if len(r.params[memberState])+len(r.params[memberResponses]) > maxInnerState {
		return "", errInnerState
	}
	digest := sha256.Sum256(operation)
	plain, err := json.Marshal(state{
		Subject: a.Subject, Proof: a.Proof, ClientID: a.ClientID, Method: r.Method, Operation: digest[:],
		Round: before.number + 1, ExpiresAt: now.Add(stateLifetime).Unix(),
		InnerState: r.params[memberState], InnerResponses: r.params[memberResponses],
	})
	if err != nil {
		return "", err
	}
	return statePrefix + base64.RawURLEncoding.EncodeToString(s.keys.Seal(plain, s.context(a)...)), nil
}

// MayCarry reports whether a body could carry a state of ours.
func MayCarry(body []byte) bool { return bytes.Contains(body, []byte(statePrefix)) }

// Take removes our state, and the answer to our input request, from a retry.
// It returns the body to forward, which is nil if there was nothing of ours:
// an upstream's own state is never touched. errState if the state is ours but
// for something else. One that is too old is removed all the same, and says
// nothing.
func (s *States) Take(a Asked, r *Request, now time.Time) ([]byte, Round, error) {
	st, ours := s.open(a, text(r.params[memberState]))
	if !ours {
		return nil, Round{}, nil
	}
	operation, err := r.operation()
	if err != nil {
		return nil, Round{}, err
	}
	digest := sha256.Sum256(operation)
	if st.Subject != a.Subject || st.Proof != a.Proof || st.ClientID != a.ClientID || st.Method != r.Method || !bytes.Equal(st.Operation, digest[:]) {
		return nil, Round{}, errState
	}
	round := Round{Ours: true}
	if now.Unix() < st.ExpiresAt {
		action := text(members(members(r.params[memberResponses])[inputPrefix+a.Server])["action"])
		round.number = st.Round
		round.Declined = action == "decline" || action == "cancel" || st.Round >= maxRounds
	}
	r.replace(memberState, st.InnerState)
	r.replace(memberResponses, st.InnerResponses)
	body, err := r.body()
	return body, round, err
}

func (r *Request) replace(name string, value json.RawMessage) {
	if value == nil {
		delete(r.params, name)
		return
	}
	r.params[name] = value
}

func (s *States) open(a Asked, sealed string) (state, bool) {
	var st state
	encoded, found := bytes.CutPrefix([]byte(sealed), []byte(statePrefix))
	if !found {
		return st, false
	}
	box, err := base64.RawURLEncoding.DecodeString(string(encoded))
	if err != nil {
		return st, false
	}
	plain, err := s.keys.Open(box, s.context(a)...)
	if err != nil || json.Unmarshal(plain, &st) != nil {
		return st, false
	}
	return st, true
}

func (s *States) context(a Asked) []string { return []string{"request state", s.issuer, a.Server} }
