package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("mcp_oauth", parseGlobalOption)
}

// parseGlobalOption reads the global option:
//
//	{
//	    mcp_oauth {
//	        storage bbolt {
//	            path <file>
//	        }
//	        storage memory
//	        encryption_key <placeholder>     # repeatable: the first encrypts, all decrypt
//	    }
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	p := &parser{Dispenser: d, at: map[string]caddyfile.Token{}}
	p.Next() // the option
	if existing != nil {
		return nil, p.Err("mcp_oauth is already set; merge the two blocks")
	}
	if p.NextArg() {
		return nil, p.Errf("mcp_oauth takes no argument; remove %q", p.Val())
	}
	app := new(App)
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := p.globalOption(app); err != nil {
			return nil, err
		}
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

func (p *parser) globalOption(app *App) error {
	switch p.Val() {
	case "encryption_key":
		var value string
		if err := p.args(&value); err != nil {
			return err
		}
		if _, known, _ := whenAdapting(value); known {
			if _, err := decodeKey(value); err != nil {
				return p.Errf("encryption_key %v", err)
			}
		}
		app.EncryptionKeys = append(app.EncryptionKeys, value)
		return nil
	case "storage":
		if err := p.once(""); err != nil {
			return err
		}
		return p.storage(app)
	default:
		return p.unknown("storage, encryption_key")
	}
}

func (p *parser) storage(app *App) error {
	app.Storage = new(Storage)
	if err := p.args(&app.Storage.Engine); err != nil {
		return err
	}
	switch app.Storage.Engine {
	case "bbolt", "memory":
	default:
		return p.Errf("unknown storage %q; use one of: bbolt, memory", app.Storage.Engine)
	}
	return p.block("storage", func() error {
		if app.Storage.Engine == "bbolt" && p.Val() == "path" {
			return p.args(&app.Storage.Path)
		}
		if app.Storage.Engine == "memory" {
			return p.Errf("storage memory has no option %q; remove it", p.Val())
		}
		return p.unknown("path")
	})
}
