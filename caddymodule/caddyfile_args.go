package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// block reads the subdirectives of a block, each of which may appear once.
func (p *parser) block(path string, read func() error) error {
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := p.once(path + " "); err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// once refuses an option that was given before, and remembers its line.
func (p *parser) once(path string) error {
	key := path + p.Val()
	if first, ok := p.at[key]; ok {
		return p.Errf("%s is already set on line %d; remove one", p.Val(), first.Line)
	}
	p.at[key] = p.Token()
	return nil
}

func (p *parser) unknown(known string) error {
	return p.Errf("unknown option %q; use one of: %s", p.Val(), known)
}

// args reads exactly as many arguments.
func (p *parser) args(to ...*string) error {
	name := p.Val()
	if !p.Args(to...) {
		return p.Errf("%s takes %d argument(s); some are missing", name, len(to))
	}
	if p.NextArg() {
		return p.Errf("%s takes %d argument(s); remove %q, or quote an argument that has spaces", name, len(to), p.Val())
	}
	return nil
}

// list reads one or more arguments.
func (p *parser) list(to *[]string) error {
	name, args := p.Val(), p.RemainingArgs()
	if len(args) == 0 {
		return p.Errf("%s takes at least one argument", name)
	}
	*to = append(*to, args...)
	return nil
}

func (p *parser) duration(to *caddy.Duration) error {
	name, text := p.Val(), ""
	if err := p.args(&text); err != nil {
		return err
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d < 0 {
		return p.Errf("%s: %q is not a duration; write it as 15m, 1h or 30d", name, text)
	}
	*to = caddy.Duration(d)
	return nil
}

func (p *parser) onOff(to **bool) error {
	name, text := p.Val(), ""
	if err := p.args(&text); err != nil {
		return err
	}
	if text != "on" && text != "off" {
		return p.Errf("%s: %q is neither on nor off", name, text)
	}
	on := text == "on"
	*to = &on
	return nil
}

func (p *parser) count(to **int) error {
	name, text := p.Val(), ""
	if err := p.args(&text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return p.Errf("%s: %q is not a number from 0", name, text)
	}
	*to = &n
	return nil
}

// json returns the JSON of a module's configuration.
func (p *parser) json(v any) []byte {
	return caddyconfig.JSON(v, nil)
}
