package caddymodule

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// parser reads the mcp_oauth blocks of a Caddyfile.
type parser struct {
	*caddyfile.Dispenser
	helper httpcaddyfile.Helper
	lines  lines
	blocks []namedBlock // all there are
}

// namedBlock is a block and where it stands.
type namedBlock struct {
	title   string
	grammar grammar
}

// newParser starts at the directive or global option.
func newParser(d *caddyfile.Dispenser, helper httpcaddyfile.Helper) *parser {
	d.Next()
	return &parser{d, helper, lines{"": {token: d.Token()}}, blocks()}
}

// blocks are all blocks there are.
func blocks() []namedBlock {
	return []namedBlock{
		{"the mcp_oauth block of a site", siteOptions},
		{"the global mcp_oauth block, in the braces at the top of the Caddyfile", globalOptions()},
		{"the block of a server", serverOptions},
		{"the block of auth oauth or per_user_oauth", oauthOptions},
		{"the block of auth per_user_headers", pastedOptions},
		{"the block of identity caddy", caddyUserOptions},
		{"the block of a client", clientOptions},
		{"the block of registration", registrationOptions},
		{"the block of branding", brandingOptions},
		{"the block of storage bbolt", bboltOptions},
	}
}

// unknown says what to write for an option that the block does not have.
func (p *parser) unknown(name string, known []string) error {
	if name == "{" {
		return fmt.Errorf("a { must stand on the line of its option")
	}
	for _, b := range p.blocks {
		if slices.Contains(b.grammar.names(), name) {
			return fmt.Errorf("%s belongs in %s", name, b.title)
		}
	}
	return fmt.Errorf("unknown option %q%s", name, config.Choice(name, known))
}

// opensBlock reports whether a block follows on the same line.
func (p *parser) opensBlock() bool {
	at := p.Token()
	if !p.Next() {
		return false
	}
	defer p.Prev()
	return p.Val() == "{" && p.Line() == at.Line && p.File() == at.File
}

// here adds the line that is being read to an error.
func (p *parser) here(l line, format string, args ...any) error {
	return p.lines.withLine(config.Errorf(l.path, format, args...))
}

func setText[T any](field func(*T) *string) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		*field(to) = l.args[0]
		return nil
	}
}

func setList[T any](field func(*T) *[]string) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		*field(to) = l.args
		return nil
	}
}

// setTrue reads an option that sets something by being there.
func setTrue[T any](field func(*T) *bool) func(*parser, *T, line) error {
	return func(_ *parser, to *T, _ line) error {
		*field(to) = true
		return nil
	}
}

func setOnOff[T any](field func(*T) **bool) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		on := l.args[0] == "on"
		*field(to) = &on
		return nil
	}
}

func setCount[T any](field func(*T) **int) func(*parser, *T, line) error {
	return func(p *parser, to *T, l line) error {
		n, err := strconv.Atoi(l.args[0])
		if err != nil || n < 0 {
			return p.here(l, "%q is not a whole number from 0", l.args[0])
		}
		*field(to) = &n
		return nil
	}
}

// setDuration reads a duration that is not zero: in the JSON that is the default.
func setDuration[T any](field func(*T) *config.Duration) func(*parser, *T, line) error {
	return func(p *parser, to *T, l line) error {
		d, err := p.duration(l)
		if err == nil && d == 0 {
			return p.here(l, "%s; remove the line for the default", config.TooShort(time.Second))
		}
		*field(to) = config.Duration(d)
		return err
	}
}

func (p *parser) duration(l line) (time.Duration, error) {
	d, err := config.ParseDuration(l.args[0])
	if err != nil || d < 0 {
		return 0, p.here(l, "%q is not a duration; write it as 15m, 1h or 30d", l.args[0])
	}
	return d, nil
}
