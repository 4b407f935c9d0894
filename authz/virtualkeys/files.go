package virtualkeys

import (
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
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
		k.files = append(k.files, &file{key: key, look: identity.Look(key.Name), hash: hashes[key.Name], seen: hashes[key.Name]})
	}
}

// readFiles takes what the files have by now. What is no key changes nothing.
func (k *Keys) readFiles() {
	for _, f := range k.files {
		if !f.key.InFile() {
			continue
		}
		hash, err := f.key.Hash(k.deps.Resolve)
		if err == nil && k.isOfAnother(f, hash) {
			err = config.Errorf("", "it is the key of another name; give each its own")
		}
		if err != nil {
			f.tell(k.deps.Logger, err)
			continue
		}
		f.told = ""
		twice := hash == f.seen
		f.seen = hash
		if !twice || hash == f.hash {
			continue
		}
		f.hash, k.unendedFiles = hash, true
		k.deps.Logger.Info("the file of a virtual key has another one; the one before is good no more, and what was approved with it ends",
			zap.String("name", f.key.Name))
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

// tell logs once why a file has no key.
func (f *file) tell(log *zap.Logger, err error) {
	if f.told == err.Error() {
		return
	}
	f.told = err.Error()
	log.Warn("the file of a virtual key has none; the one that was there before stays good until it has", zap.String("name", f.key.Name), zap.Error(err))
}
