package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	MaxTokenLen      = 16 << 10
	maxTokenLifetime = 10 * 365 * 24 * time.Hour
)

// Tokens are a successful token response (RFC 6749 section 5.1).
type Tokens struct {
	AccessToken string
	// RefreshToken is empty when the one we have, if any, stays good.
	RefreshToken string
	// ExpiresIn is 0 when the provider did not say.
	ExpiresIn time.Duration
	// Scopes are nil when they are those that were requested.
	Scopes []string
	// IDToken is that of OpenID Connect, as it was received: nothing of it was
	// looked at. It is empty if there was none that could be one.
	IDToken string

	body []byte // of the response, if it is JSON: it may say more, see Account
}

// tokenMembers are the members of both kinds of response. Providers write
// some of them with another type than RFC 6749 says.
type tokenMembers struct {
	AccessToken  string          `json:"access_token"`
	TokenType    string          `json:"token_type"`
	RefreshToken string          `json:"refresh_token"`
	ExpiresIn    json.RawMessage `json:"expires_in"`
	Scope        json.RawMessage `json:"scope"`
	AuthedUser   json.RawMessage `json:"authed_user"` // Slack's, see Quirks.UserToken
	IDToken      json.RawMessage `json:"id_token"`    // some write null for none
	Error        string          `json:"error"`
}

// readTokens reads an answer of a token endpoint. Errors are of type *TokenError.
func readTokens(r *reply, quirks Quirks) (*Tokens, error) {
	if r.status >= http.StatusInternalServerError || r.status == http.StatusTooManyRequests {
		return nil, &TokenError{Failure: Unable, Status: r.status}
	}
	m, err := parseTokenMembers(r)
	if r.status/100 != 2 || err == nil && m.Error != "" {
		// Some providers refuse with status 200.
		code := KnownCode(m.Error)
		// An error that is no text, but an object, is the provider's all the same.
		own := code == "" && (m.Error != "" || errors.Is(err, strictjson.ErrType))
		return nil, &TokenError{Failure: Refused, Status: r.status, Code: code, OwnCode: own}
	}
	if err == nil {
		m, err = m.usable(quirks)
	} else if errors.Is(err, strictjson.ErrType) {
		err = fmt.Errorf("%w: %w", errUnsupported, err)
	}
	if err != nil {
		return nil, &TokenError{Failure: NoAnswer, Status: r.status, cause: err}
	}
	return &Tokens{
		AccessToken: m.AccessToken, RefreshToken: m.RefreshToken,
		ExpiresIn: lifetime(m.ExpiresIn), Scopes: grantedScopes(m.Scope), IDToken: idToken(m.IDToken), body: r.body,
	}, nil
}

// parseTokenMembers reads JSON, or the form that early providers answer with.
func parseTokenMembers(r *reply) (tokenMembers, error) {
	var m tokenMembers
	isForm := r.mediaType == "application/x-www-form-urlencoded" || r.mediaType == "text/plain"
	if !isForm || looksLikeObject(r.body) {
		err := strictjson.Unmarshal(r.body, maxProviderReply, &m)
		return m, err
	}
	if len(r.body) > maxProviderReply {
		return m, strictjson.ErrSize
	}
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return m, errors.New("malformed form")
	}
	for name, values := range form {
		if len(values) != 1 {
			return m, errors.New("repeated parameter")
		}
		switch name {
		case "access_token":
			m.AccessToken = values[0]
		case "token_type":
			m.TokenType = values[0]
		case "refresh_token":
			m.RefreshToken = values[0]
		case "expires_in":
			m.ExpiresIn = json.RawMessage(values[0])
		case "scope":
			m.Scope, _ = json.Marshal(values[0])
		case "id_token":
			m.IDToken, _ = json.Marshal(values[0])
		case "error":
			m.Error = values[0]
		}
	}
	return m, nil
}

func looksLikeObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark)), []byte("{"))
}

// usable returns the members of the token that is meant for this site, or refuses what
// could not be sent as a bearer token. A reply without a type is of providers older than
// RFC 6749; they know no other than bearer.
func (m tokenMembers) usable(quirks Quirks) (tokenMembers, error) {
	user, err := m.ofUser()
	if err != nil {
		return m, err
	}
	if quirks.UserToken && user.AccessToken != "" {
		m = user
	}
	ofUser := strings.EqualFold(m.TokenType, "user")
	switch bearer := m.TokenType == "" || strings.EqualFold(m.TokenType, "bearer"); {
	case bearer && m.AccessToken != "", ofUser && quirks.UserToken:
	case ofUser || user.AccessToken != "":
		return m, fmt.Errorf("%w: %w", errUnsupported, errUserToken)
	case !bearer:
		return m, fmt.Errorf("%w: not a bearer token", errUnsupported) // RFC 6749 section 7.1
	}
	if m.AccessToken == "" || !visible(m.AccessToken) || !visible(m.RefreshToken) {
		return m, fmt.Errorf("%w: no usable token", errUnsupported)
	}
	return m, nil
}

// ofUser returns the members that are about a token of the person.
func (m tokenMembers) ofUser() (tokenMembers, error) {
	var user tokenMembers
	if !looksLikeObject(m.AuthedUser) {
		return user, nil
	}
	if err := strictjson.Unmarshal(m.AuthedUser, maxProviderReply, &user); err != nil {
		return user, fmt.Errorf("authed_user: %w", err)
	}
	return user, nil
}

// visible reports whether s is short and of visible ASCII characters only.
func visible(s string) bool { return len(s) <= MaxTokenLen && oauth.VisibleASCII(s) }

// idToken reads id_token, which is of no interest to most callers: what is none
// counts as none.
func idToken(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil || !oauth.VisibleASCII(text) {
		return ""
	}
	return text
}

// lifetime reads expires_in. What is no positive number counts as not said.
func lifetime(raw json.RawMessage) time.Duration {
	seconds := number(raw)
	if seconds <= 0 {
		return 0
	}
	if seconds > maxTokenLifetime.Seconds() {
		return maxTokenLifetime
	}
	return max(time.Second, time.Duration(seconds)*time.Second)
}

// grantedScopes reads scope: text between spaces (RFC 6749 section 3.3), for
// some between commas, for others a list. nil means the requested ones.
func grantedScopes(raw json.RawMessage) []string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var list []string
		if json.Unmarshal(raw, &list) != nil {
			return nil
		}
		text = strings.Join(list, " ")
	}
	var scopes []string
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if visible(s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// codes are the error codes we act on or log. Everything else a provider
// writes stays with it.
var codes = map[string]string{
	"invalid_request": "invalid_request", "invalid_client": "invalid_client", "invalid_grant": "invalid_grant",
	"unauthorized_client": "unauthorized_client", "unsupported_grant_type": "unsupported_grant_type",
	"invalid_scope": "invalid_scope", "invalid_target": "invalid_target", "access_denied": "access_denied",
	"server_error": "server_error", "temporarily_unavailable": "temporarily_unavailable",
	"unsupported_response_type": "unsupported_response_type", "consent_required": "consent_required",
	"login_required": "login_required", "interaction_required": "interaction_required",
	"invalid_redirect_uri": "invalid_redirect_uri", "invalid_client_metadata": "invalid_client_metadata",
	// GitHub's own.
	"bad_verification_code": "invalid_grant", "bad_refresh_token": "invalid_grant",
	"incorrect_client_credentials": "invalid_client", "redirect_uri_mismatch": "invalid_grant",
	"application_suspended": "unauthorized_client",
	// Slack's own.
	"invalid_code": "invalid_grant", "code_already_used": "invalid_grant", "invalid_refresh_token": "invalid_grant",
	"token_expired": "invalid_grant", "token_revoked": "invalid_grant", "bad_redirect_uri": "invalid_redirect_uri",
	"invalid_client_id": "invalid_client", "bad_client_secret": "invalid_client",
	// What others, Slack above all, write for "later".
	"internal_error": "server_error", "fatal_error": "server_error",
	"service_unavailable": "temporarily_unavailable", "slow_down": "temporarily_unavailable",
	"ratelimited": "temporarily_unavailable", "rate_limited": "temporarily_unavailable",
}

// KnownCode returns an error code of OAuth in the standard's spelling, or "" if it
// is none: what else a provider writes stays with it.
func KnownCode(code string) string { return codes[code] }
