package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
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
	types := r.Header.Values("Content-Type")
	if len(types) != 1 {
		return "", NewError("invalid_request", "The request must have one Content-Type.")
	}
	if mediaType, _, err := mime.ParseMediaType(types[0]); err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", NewError("invalid_request", "The Content-Type must be application/x-www-form-urlencoded.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return "", &Error{Status: http.StatusRequestEntityTooLarge, Code: "invalid_request", Description: "The request is too large."}
	}
	if err != nil {
		return "", ReadError("invalid_request", err)
	}
	return string(body), nil
}

// ReadError answers for a body that did not arrive whole, or in time.
func ReadError(code string, err error) error {
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
