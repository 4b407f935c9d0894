package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// adapted remembers the lines of what this process adapted from Caddyfiles. A
// placeholder is resolved when the configuration is loaded; if it is in the
// same process, as with `caddy run` and `caddy validate`, what is wrong then
// can be told with its line, too.
var adapted = adaptedLines{of: map[[sha256.Size]byte]lines{}}

type adaptedLines struct {
	mu sync.Mutex
	of map[[sha256.Size]byte]lines // by the adapted configuration
}

// maxAdapted bounds what a process remembers that adapts all day.
const maxAdapted = 64

func (a *adaptedLines) remember(module any, l lines) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.of) >= maxAdapted {
		clear(a.of)
	}
	a.of[configID(module)] = l
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
