package adminapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// call is one request to a route. Its query has what the route knows of, as it
// should be.
type call struct {
	API
	*http.Request
	named map[string]string // what the braces of the path stand for
	query url.Values
}

// limit returns how many entries a page shall have.
func (c *call) limit() int {
	if limit, err := strconv.Atoi(c.query.Get("limit")); err == nil {
		return limit
	}
	return defaultLimit
}

// is reports whether a flag is set.
func (c *call) is(flag string) bool { return c.query.Get(flag) == "true" }

// Failure is the answer when something was not done.
type Failure struct {
	Error string `json:"error"` // what is wrong, and what to do about it
}

const maxBody = 64 << 10

// read reads the JSON that was sent, which may be left out. The type is asked for,
// so that no web page can send it without being asked first. types says of which
// types its members are, for an error.
func (c *call) read(to any, types string) error {
	if kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type")); kind != "application/json" {
		return apiError(http.StatusUnsupportedMediaType, "send JSON, with the header Content-Type: application/json")
	}
	body, err := io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	if err != nil {
		return apiError(http.StatusBadRequest, "the request could not be read")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := strictjson.Check(body, maxBody); err != nil {
		return apiError(http.StatusBadRequest, "send one JSON object, each member once")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(to)
	if err == nil {
		return nil
	}
	// What is wrong is said without the values.
	if text, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return apiError(http.StatusBadRequest, "there is no member "+text+"; use "+members(to))
	}
	return apiError(http.StatusBadRequest, "a member has the wrong type; "+types)
}

// members lists the members of a request's JSON.
func members(of any) string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of).Elem()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
