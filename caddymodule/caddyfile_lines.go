package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// written is where an option stands in the Caddyfile.
type written struct {
	token caddyfile.Token
	label string // what messages call it; empty for the directive
}

// lines remembers where each field of the JSON was written, to add its line
// to an error that only shows when all is read.
type lines map[string]written

// pathOf returns the path of the field that an option sets.
func (l lines) pathOf(parent, name, field string, args []string) string {
	if field == "" {
		field = name
	}
	if parent != "" {
		field = parent + "." + field
	}
	if list, ok := strings.CutSuffix(field, "[]"); ok {
		for i := 0; ; i++ {
			if _, taken := l[config.Index(list, i)]; !taken {
				return config.Index(list, i)
			}
		}
	}
	if object, ok := strings.CutSuffix(field, "*"); ok {
		return object + args[0]
	}
	return field
}

// nearest returns where a field was written or, if it was not, what it belongs to.
func (l lines) nearest(path string) written {
	for {
		if w, ok := l[path]; ok || path == "" {
			return w
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// withLine makes an error with a line of one with a path.
func (l lines) withLine(err error) error {
	var m *config.Error
	if !errors.As(err, &m) {
		return withLine(l[""].token, err)
	}
	w := l.nearest(m.Path)
	if w.label == "" {
		return withLine(w.token, errors.New(m.Text))
	}
	return withLine(w.token, fmt.Errorf("%s: %s", w.label, m.Text))
}

// withLine adds the line of the token to an error.
func withLine(t caddyfile.Token, err error) error {
	return fmt.Errorf("%w, at %s:%d", err, t.File, t.Line)
}
