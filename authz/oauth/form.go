package oauth

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// Bounds of what an unauthenticated client can make this server read.
const (
	maxFormBytes  = 64 << 10
	maxParameters = 100
)

// ParseForm returns the parameters of a form post. The query is never read
// (RFC 6749 section 3.2, RFC 7009 section 2.1, RFC 7662 section 2.1).
func ParseForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	body, err := ReadForm(w, r, maxFormBytes)
	if err != nil {
		return nil, err
	}
	return ParseParameters(body)
}

// ReadForm returns the body of a form post of at most limit bytes.
func ReadForm(w http.ResponseWriter, r *http.Request, limit int64) (string, error) {
	if err := requireType(r, "application/x-www-form-urlencoded", "invalid_request"); err != nil {
		return "", err
	}
	body, err := ReadBody(w, r, limit, "invalid_request")
	return string(body), err
}

// RequireJSON refuses, with the code, a request whose body is not JSON.
func RequireJSON(r *http.Request, code string) error { return requireType(r, "application/json", code) }

func requireType(r *http.Request, want, code string) error {
	types := r.Header.Values("Content-Type")
	if len(types) != 1 {
		return NewError(code, "The request must have one Content-Type.")
	}
	if mediaType, _, err := mime.ParseMediaType(types[0]); err != nil || mediaType != want {
		return NewError(code, "The Content-Type must be "+want+".")
	}
	return nil
}

// ReadBody returns a body of at most limit bytes. It refuses others with the code.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, code string) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Code: code, Description: "The request is too large."}
	}
	if err != nil {
		return nil, readError(code, err)
	}
	return body, nil
}

// readError answers for a body that did not arrive whole, or in time.
func readError(code string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{Status: http.StatusRequestTimeout, Code: code, Description: "The request took too long to arrive.", Cause: err}
	}
	return &Error{Status: http.StatusBadRequest, Code: code, Description: "The request could not be read.", Cause: err}
}

// ParseParameters parses the parameters of a query or a form. No parameter may
// come twice, except resource (RFC 6749 section 3.1, RFC 8707 section 2); one
// without a value counts as absent.
func ParseParameters(raw string) (url.Values, error) {
	if strings.Count(raw, "&") >= maxParameters {
		return nil, NewError("invalid_request", "The request has too many parameters.")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, NewError("invalid_request", "The parameters are malformed.")
	}
	for name, all := range values {
		if len(all) > 1 && name != "resource" {
			return nil, NewError("invalid_request", "A parameter is repeated.")
		}
		if len(all) == 1 && all[0] == "" {
			delete(values, name)
		}
	}
	return values, nil
}

// ParseJSONParameters returns the members of a JSON object as parameters, each a
// text, or for the names in lists several. No member may come twice; one without
// a value counts as absent.
func ParseJSONParameters(body []byte, lists ...string) (url.Values, error) {
	var members map[string]json.RawMessage
	err := strictjson.Check(body, len(body))
	if err == nil {
		err = json.Unmarshal(body, &members)
	}
	if err != nil || members == nil || len(members) > maxParameters {
		return nil, NewError("invalid_request", "The request must be one JSON object, with no member twice.")
	}
	values := url.Values{}
	for name, raw := range members {
		if !addMember(values, name, raw, slices.Contains(lists, name)) {
			return nil, NewError("invalid_request", "Each member of the request must be a text, or a list of texts where there can be several.")
		}
	}
	return values, nil
}

// addMember reports whether a member is what a parameter can be.
func addMember(values url.Values, name string, raw json.RawMessage, list bool) bool {
	var text string
	if json.Unmarshal(raw, &text) == nil { // null, too
		if text != "" {
			values.Set(name, text)
		}
		return true
	}
	var texts []string
	if !list || json.Unmarshal(raw, &texts) != nil {
		return false
	}
	if len(texts) > 0 {
		values[name] = texts
	}
	return true
}
