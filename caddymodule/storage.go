package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

const (
	// storageNamespace is where modules that open stores are registered. Each is
	// a storage.Opener.
	storageNamespace = "mcp_oauth.storage"
	storageKey       = "engine" // names the module
	defaultStorage   = "bbolt"
)

// loadStorage loads the module that opens the store. It opens nothing.
func (a *App) loadStorage() error {
	raw := a.StorageRaw
	if len(raw) == 0 || string(raw) == "null" {
		raw = json.RawMessage("{}")
	}
	engine, settings, err := splitStorage(raw)
	if err != nil {
		return under("storage", err)
	}
	info, err := caddy.GetModule(storageNamespace + "." + engine)
	if err != nil {
		return config.Errorf("storage.engine", "unknown storage %q%s", engine, config.Choice(engine, storageEngines()))
	}
	// Caddy would keep of an error only its text, without the field.
	var wrong *config.Error
	if err := json.Unmarshal(raw, info.New()); errors.As(err, &wrong) {
		return under("storage", wrong)
	}
	module, err := a.ctx.LoadModuleByID(string(info.ID), settings)
	if err != nil {
		return config.Errorf("storage", "%v", err)
	}
	opener, ok := module.(storage.Opener)
	if !ok {
		return config.Errorf("storage.engine", "module %s opens no store", info.ID)
	}
	if built, ok := opener.(interface{ resolve() error }); ok {
		if err := built.resolve(); err != nil {
			return under("storage", err)
		}
	}
	a.engine, a.opener = engine, opener
	return nil
}

// splitStorage returns the name of the module and its settings.
func splitStorage(raw json.RawMessage) (engine string, settings json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return "", nil, config.Decode(raw, new(builtinStorage))
	}
	for name, value := range members {
		if strings.EqualFold(name, storageKey) { // as encoding/json does
			if json.Unmarshal(value, &engine) != nil {
				return "", nil, config.Decode(raw, new(builtinStorage))
			}
			delete(members, name)
		}
	}
	if engine == "" {
		engine = defaultStorage
	}
	settings, err = json.Marshal(members)
	return engine, settings, err
}

// storageEngines returns the names of all modules that open stores.
func storageEngines() []string {
	var names []string
	for _, info := range caddy.GetModules(storageNamespace) {
		names = append(names, info.ID.Name())
	}
	slices.Sort(names)
	return names
}

// under puts the path of a field in front of an error in what the field holds.
func under(field string, err error) error {
	var wrong *config.Error
	if !errors.As(err, &wrong) {
		return config.Errorf(field, "%v", err)
	}
	return config.Errorf(strings.TrimSuffix(field+"."+wrong.Path, "."), "%s", wrong.Text)
}

// storeName tells operators which store it is.
func (a *App) storeName() string { return strings.TrimSpace(a.engine + " " + a.opener.Key()) }

// poolKey names the store, as this configuration opens it, among all of the process.
// It may hold secrets.
func (a *App) poolKey() string {
	key := a.engine + " " + a.opener.Key()
	if o, ok := a.opener.(interface{ settings() string }); ok {
		key += " " + o.settings()
	}
	return key
}

func init() {
	caddy.RegisterModule(new(BboltStorage))
	caddy.RegisterModule(new(MemoryStorage))
	caddy.RegisterModule(new(PostgresStorage))
}

// BboltStorage keeps everything in a bbolt file, which one Caddy process has open
// at a time. It is the default.
type BboltStorage struct {
	// Path of the file. Default: `mcp_oauth/mcp_oauth.db` in Caddy's data
	// directory.
	Path string `json:"path,omitempty"`

	path string // absolute, without placeholders
}

// MemoryStorage forgets everything when Caddy stops.
type MemoryStorage struct{}

// builtinStorage is what the JSON of both can hold.
type builtinStorage struct {
	Engine string `json:"engine"`
	Path   string `json:"path"`
}

// CaddyModule returns the Caddy module information.
func (*BboltStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: storageNamespace + ".bbolt", New: func() caddy.Module { return new(BboltStorage) }}
}

// CaddyModule returns the Caddy module information.
func (*MemoryStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: storageNamespace + ".memory", New: func() caddy.Module { return new(MemoryStorage) }}
}

// UnmarshalJSON names the field of what it cannot read.
func (b *BboltStorage) UnmarshalJSON(data []byte) error {
	var c builtinStorage
	err := config.Decode(data, &c)
	b.Path = c.Path
	return err
}

// UnmarshalJSON names the field of what it cannot read.
func (*MemoryStorage) UnmarshalJSON(data []byte) error {
	var c builtinStorage
	if err := config.Decode(data, &c); err != nil {
		return err
	}
	if c.Path != "" {
		return config.Errorf("path", "storage memory has no path; remove it, or use bbolt")
	}
	return nil
}

// resolve finds out which file it is.
func (b *BboltStorage) resolve() error {
	configured := b.Path
	if configured == "" {
		configured = filepath.Join(caddy.AppDataDir(), "mcp_oauth", "mcp_oauth.db")
	}
	path, _, err := placeholders.Replace(configured)
	if err != nil {
		return config.Errorf("path", "%v", err)
	}
	b.path, err = filepath.Abs(path) // which also cleans it: one file, one key
	return err
}

// Key implements storage.Opener.
func (b *BboltStorage) Key() string { return b.path }

// Durable implements storage.Opener.
func (*BboltStorage) Durable() bool { return true }

// Open implements storage.Opener.
func (b *BboltStorage) Open(ctx context.Context) (storage.Store, error) {
	s, err := boltstore.Open(b.path, boltstore.Options{
		Observe:  counts.ObserveStore,
		Progress: func(done, total int64) error { return storage.ReportOpening(ctx, done, total) },
	})
	if err != nil {
		return nil, err // not a nil store in an interface
	}
	if m := s.Migrated; m != nil {
		caddy.Log().Named(appName).Warn("the database was of an earlier version of this program, and was migrated; that version opens it no more, but the copy as it was before",
			zap.String("file", b.path), zap.Int("from", m.From), zap.Int("to", m.To), zap.String("copy", m.Copy))
	}
	return s, nil
}

func (b *BboltStorage) movePlace() move.Place {
	return boltstore.MovePlace{Path: b.path, Options: boltstore.Options{Timeout: 2 * time.Second}}
}

// Key implements storage.Opener.
func (*MemoryStorage) Key() string { return "" }

// Durable implements storage.Opener.
func (*MemoryStorage) Durable() bool { return false }

// Open implements storage.Opener.
func (*MemoryStorage) Open(context.Context) (storage.Store, error) { return memstore.New(), nil }

var (
	_ storage.Opener = (*BboltStorage)(nil)
	_ storage.Opener = (*MemoryStorage)(nil)
)
