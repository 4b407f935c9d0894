package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("mcp_oauth", parseGlobalOption)
}

// parseGlobalOption reads the global option:
//
//	mcp_oauth {
//	    storage bbolt {
//	        path <file>
//	    }
//	    storage memory
//	    encryption_key <placeholder>  # repeatable
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	p := newParser(d, httpcaddyfile.Helper{})
	if existing != nil {
		return nil, p.here(line{}, "mcp_oauth is already set; merge the two blocks")
	}
	if p.NextArg() {
		return nil, p.here(line{}, "mcp_oauth takes no argument; remove %q", p.Val())
	}
	app := new(App)
	if err := globalOptions.read(p, "", app); err != nil {
		return nil, err
	}
	adapted.remember(app, p.lines)
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

var globalOptions = block[App]{
	{name: "storage", args: "bbolt", read: readStorage, block: bboltOptions},
	{name: "storage", args: "memory", read: readStorage},
	// The first encrypts, all decrypt.
	{name: "encryption_key", args: "<placeholder>", field: "encryption_keys[]", read: readEncryptionKey},
}

var bboltOptions = block[Storage]{
	{name: "path", args: "<file>", read: setText(func(s *Storage) *string { return &s.Path })},
}

func readStorage(p *parser, app *App, l line) error {
	app.Storage = &Storage{Engine: l.args[0]}
	return bboltOptions.read(p, l.path, app.Storage)
}

func readEncryptionKey(p *parser, app *App, l line) error {
	value := l.args[0]
	if _, known, _ := config.KeepPlaceholders(value); known {
		if _, err := checkKey(value, len(app.EncryptionKeys) == 0); err != nil {
			return p.here(l, "%v", err)
		}
	}
	app.EncryptionKeys = append(app.EncryptionKeys, value)
	return nil
}
