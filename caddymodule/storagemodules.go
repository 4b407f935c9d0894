package caddymodule

import (
	"context"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

func init() {
	caddy.RegisterModule(new(BboltStorage))
	caddy.RegisterModule(new(MemoryStorage))
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
	path, _, err := replacePlaceholders(configured)
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
func (b *BboltStorage) Open(context.Context) (storage.Store, error) {
	s, err := boltstore.Open(b.path, boltstore.Options{})
	if err != nil {
		return nil, err // not a nil store in an interface
	}
	return s, nil
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
