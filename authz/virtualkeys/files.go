package virtualkeys

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// file is a key of the configuration. Those in files are read again and again:
// looking whether a file changed would cost as much, and miss what a mounted
// volume does to times.
type file struct {
	key  config.VirtualKey
	look string
	hash storage.Hash
	// seen is what was in the file when it was last read. It counts once it was
	// there twice: a file may be half written.
	seen storage.Hash
	// told is the last error that the log was told of.
	told string
}

// readFirst takes the keys of the configuration as it was read.
func (k *Keys) readFirst() {
	hashes := map[string]storage.Hash{}
	for _, key := range k.deps.Config.Keys.Set().All() {
		if !key.Stored {
			hashes[key.Name] = key.Hash
		}
	}
	for _, key := range k.deps.Config.VirtualKeys {
		k.files = append(k.files, &file{key: key, look: spelling.Fold(key.Name), hash: hashes[key.Name], seen: hashes[key.Name]})
	}
}

// readFiles takes what the files have by now. What is no key changes nothing.
func (k *Keys) readFiles(ctx context.Context) {
	for _, f := range k.files {
		if !f.key.InFile() {
			continue
		}
		hash, err := f.key.Hash(k.deps.Resolve)
		if err == nil && k.isOfAnother(f, hash) {
			err = config.Errorf("", "it is the key of another name; give each its own")
		}
		if err != nil {
			k.noKey(ctx, f, err)
			continue
		}
		f.told = ""
		twice := hash == f.seen
		f.seen = hash
		if !twice || hash == f.hash {
			continue
		}
		f.hash, k.unendedFiles = hash, true
		k.record(ctx, f.key.Name, event.Event{
			Kind: event.KeyChanged, By: event.ByOperator, Reason: "file",
			Detail: "Its file has another key; the one before is good no more, and what was approved with it ends.",
		})
	}
}

// isOfAnother reports whether a key is that of another name of the configuration.
func (k *Keys) isOfAnother(f *file, hash storage.Hash) bool {
	for _, other := range k.files {
		if other != f && other.hash == hash {
			return true
		}
	}
	return false
}

// noKey records once why a file has no key.
func (k *Keys) noKey(ctx context.Context, f *file, err error) {
	if f.told == err.Error() {
		return
	}
	f.told = err.Error()
	k.record(ctx, f.key.Name, event.Event{Kind: event.KeyUnreadable, Reason: "file", Err: err})
}
