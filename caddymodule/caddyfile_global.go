package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
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
//	    storage postgres [<dsn>] {
//	        dsn <dsn>
//	        schema <name>
//	        max_connections <count>
//	        listen_dsn <dsn>
//	        stale_for <duration>
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
	if err := globalOptions().read(p, "", app); err != nil {
		return nil, err
	}
	adapted.remember(app, p.lines)
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// globalOptions are the options of the global block: with a storage for each
// module there is.
func globalOptions() block[App] {
	options := block[App]{
		{name: "storage", args: "bbolt", read: readBboltStorage, block: bboltOptions},
		{name: "storage", args: "postgres [<dsn>]", read: readPostgresStorage, block: postgresOptions},
		{name: "storage", args: "memory", read: readMemoryStorage},
	}
	for _, name := range storageEngines() {
		if name != "bbolt" && name != "postgres" && name != "memory" {
			options = append(options, option[App]{name: "storage", args: name + " [<setting>...]", read: readStorage, block: free("…")})
		}
	}
	// The first encrypts, all decrypt.
	return append(options, option[App]{name: "encryption_key", args: "<placeholder>", field: "encryption_keys[]", read: readEncryptionKey})
}

var bboltOptions = block[BboltStorage]{
	{name: "path", args: "<file>", read: setText(func(s *BboltStorage) *string { return &s.Path })},
}

func readBboltStorage(p *parser, app *App, l line) error {
	s := new(BboltStorage)
	err := bboltOptions.read(p, l.path, s)
	app.StorageRaw = storageJSON(s)
	return err
}

var postgresOptions = block[PostgresStorage]{
	{name: "dsn", args: "<dsn>", read: setText(func(s *PostgresStorage) *string { return &s.DSN })},
	{name: "schema", args: "<name>", read: setText(func(s *PostgresStorage) *string { return &s.Schema })},
	{name: "max_connections", args: "<count>", read: setCount(func(s *PostgresStorage) **int { return &s.MaxConnections })},
	{name: "listen_dsn", args: "<dsn>", read: setText(func(s *PostgresStorage) *string { return &s.ListenDSN })},
	{name: "stale_for", args: "<duration>", read: readStaleFor},
}

// readStaleFor reads a duration that may be zero, which is not the default.
func readStaleFor(p *parser, s *PostgresStorage, l line) error {
	d, err := p.duration(l)
	if err != nil {
		return err
	}
	s.StaleFor = new(config.Duration(d))
	return nil
}

func readPostgresStorage(p *parser, app *App, l line) error {
	inBlock := new(PostgresStorage)
	if err := postgresOptions.read(p, l.path, inBlock); err != nil {
		return err
	}
	switch onLine := l.args[1:]; {
	case len(onLine) > 0 && inBlock.DSN != "":
		return p.here(l, "the DSN is on this line and in the block; remove one")
	case len(onLine) > 0:
		inBlock.DSN = onLine[0]
	case inBlock.DSN == "":
		return p.here(l, "storage postgres needs the DSN of the database; write storage postgres {env.DSN}")
	}
	app.StorageRaw = storageJSON(inBlock)
	return nil
}

func readMemoryStorage(_ *parser, app *App, _ line) error {
	app.StorageRaw = storageJSON(new(MemoryStorage))
	return nil
}

// readStorage lets a module of somebody else read its options.
func readStorage(p *parser, app *App, l line) error {
	for range l.args[1:] { // back to the name of the module
		p.Prev()
	}
	m, err := caddyfile.UnmarshalModule(p.Dispenser, storageNamespace+"."+l.args[0])
	if err != nil {
		return err
	}
	app.StorageRaw = storageJSON(m.(caddy.Module)) // as it is registered
	return nil
}

func storageJSON(m caddy.Module) json.RawMessage {
	return caddyconfig.JSONModuleObject(m, storageKey, m.CaddyModule().ID.Name(), nil)
}

func readEncryptionKey(p *parser, app *App, l line) error {
	value := l.args[0]
	if _, known, _ := config.KeepPlaceholders(value); known {
		if _, err := encryptionkey.Parse(value, len(app.EncryptionKeys) == 0); err != nil {
			return p.here(l, "%v", err)
		}
	}
	app.EncryptionKeys = append(app.EncryptionKeys, value)
	return nil
}
