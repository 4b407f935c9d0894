package upstream

import "github.com/mcpoauth/caddy-mcp-oauth/storage"

// Cache holds opened credentials. It is shared by every broker of a process.
type Cache struct{}

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{} }

// Forget drops what is known of a connection that changed.
func (c *Cache) Forget(k storage.ConnectionKey) {}
