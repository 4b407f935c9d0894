package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// written is where an option is in the Caddyfile.
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
		list = strings.TrimSuffix(list, ".") // of a block that is itself the list
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

// adapted remembers the lines of what this process adapted from Caddyfiles. A
// placeholder is resolved when the configuration is loaded; if it is in the
// same process, as with `caddy run` and `caddy validate`, what is wrong then
// can be told with its line, too.
var adapted = adaptedLines{of: map[[sha256.Size]byte]lines{}, beside: map[[sha256.Size]byte]map[string][]caddyfile.Token{}}

// adaptedLines are by the adapted configuration.
type adaptedLines struct {
	mu     sync.Mutex
	of     map[[sha256.Size]byte]lines
	beside map[[sha256.Size]byte]map[string][]caddyfile.Token // of the same site, see siteblock.Directives
}

// maxAdapted bounds what a process remembers that adapts all day.
const maxAdapted = 64

func (a *adaptedLines) remember(module any, l lines) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.of) >= maxAdapted {
		clear(a.of)
		clear(a.beside)
	}
	a.of[configID(module)] = l
}

// rememberBeside remembers what else is in the block of a site.
func (a *adaptedLines) rememberBeside(module any, directives map[string][]caddyfile.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beside[configID(module)] = directives
}

// maxLocated is how many lines a message names.
const maxLocated = 3

// locateBeside returns where some of the directives are in the block of the same
// site, or nothing if that is not known.
func (a *adaptedLines) locateBeside(module any, directives []string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var places []string
	for _, name := range directives {
		for _, t := range a.beside[configID(module)][name] {
			places = append(places, fmt.Sprintf("%s at %s:%d", name, t.File, t.Line))
		}
	}
	return strings.Join(places[:min(len(places), maxLocated)], ", ")
}

// locate gives an error the line it was written on, if that is known, and else
// names its field.
func (a *adaptedLines) locate(module any, err error) error {
	var m *config.Error
	if !errors.As(err, &m) {
		return err
	}
	a.mu.Lock()
	l := a.of[configID(module)]
	a.mu.Unlock()
	if l == nil {
		return err
	}
	return l.withLine(err)
}

// configID identifies a configuration, however its JSON was written.
func configID(module any) [sha256.Size]byte {
	var value any
	_ = json.Unmarshal(caddyconfig.JSON(module, nil), &value) // which was just encoded
	return sha256.Sum256(caddyconfig.JSON(value, nil))
}
