package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// resolveKey returns the key behind a configured value. Its errors never
// repeat the key.
func resolveKey(value string, first bool) ([]byte, error) {
	text, _, err := placeholders.Replace(value)
	if err != nil {
		return nil, err
	}
	key, err := encryptionkey.Parse(strings.TrimSpace(text), first)
	if file := filePlaceholder.FindStringSubmatch(value); file != nil && err != nil {
		return nil, fmt.Errorf("the content of %s %w", file[1], err)
	}
	return key, err
}

var (
	filePlaceholder = regexp.MustCompile(`^\{file\.([^{}]+)\}$`)
	onePlaceholder  = regexp.MustCompile(`^\{[^{}]+\}$`)
)

// keyFileOpenToOthers returns the file that an operator keeps a key in, and its
// mode, if others than its owner may read it. Secrets that are mounted into a
// container often have such a mode, so it is no error.
func keyFileOpenToOthers(value string) (file string, mode fs.FileMode) {
	match := filePlaceholder.FindStringSubmatch(value)
	if match == nil || runtime.GOOS == "windows" { // access there is not in the mode
		return "", 0
	}
	info, err := os.Stat(match[1])
	if err != nil || info.Mode().Perm()&0o044 == 0 {
		return "", 0
	}
	return match[1], info.Mode().Perm()
}

// checkKeys refuses a key that is a mistake in the configuration. One in a file
// that is not there, or not right, can still be put there: see open.
func (a *App) checkKeys() error {
	for i, value := range a.EncryptionKeys {
		if _, err := resolveKey(value, i == 0); err != nil {
			err = adapted.locate(a, config.Errorf(config.Index("encryption_keys", i), "%v", err))
			if filePlaceholder.FindString(value) == "" {
				return err
			}
			a.log.Error("encryption key cannot be read", zap.Error(err))
			continue
		}
		if config.IsPlain(value) {
			a.log.Warn("an encryption_key is in plain text in the configuration, which can be read in many places; use a placeholder such as {file./path}")
		}
		if file, mode := keyFileOpenToOthers(value); file != "" {
			a.log.Warn("encryption key file is readable by other users; run chmod 600 on it, or see that nobody else gets to it",
				zap.String("file", file), zap.String("mode", fmt.Sprintf("%04o", mode)))
		}
	}
	return nil
}

// newKeyring returns the configured keys or, without any, the generated one.
func (a *App) newKeyring(state *processState) (*seal.Keyring, error) {
	switch {
	case len(a.EncryptionKeys) > 0:
		return a.configuredKeys()
	case !a.opener.Durable(): // nothing sealed outlives the process
		return seal.NewKeyring(state.EphemeralKey[:])
	}
	path := generatedKey()
	key, err := encryptionkey.Generated(path, a.opener.Key(), func() (bool, error) { return state.store.Empty(a.ctx) })
	if err != nil {
		return nil, fmt.Errorf("generated encryption key: %w", err)
	}
	a.log.Warn("no encryption_key is configured; using a generated one. Configure one to move or restore this installation",
		zap.String("file", path))
	return seal.NewKeyring(key)
}

func (a *App) configuredKeys() (*seal.Keyring, error) {
	keys := make([][]byte, len(a.EncryptionKeys))
	for i, value := range a.EncryptionKeys {
		var err error
		if keys[i], err = resolveKey(value, i == 0); err != nil {
			return nil, fmt.Errorf("encryption_key %d: %w", i+1, err)
		}
	}
	return seal.NewKeyring(keys...)
}

// instanceOf returns what other instances are told of this configuration.
func (a *App) instanceOf(keyring *seal.Keyring) *instances.Configuration {
	c := &instances.Configuration{Store: a.storeName(), Loaded: a.loaded, Ring: keyring, Events: a.events}
	for _, h := range a.sites.handlers {
		c.AddSite(h.cfg)
	}
	return c
}

// join refuses a configuration that cannot read what other instances seal. It has no
// say in what they seal with before it serves.
func (a *App) join(state *processState, keyring *seal.Keyring) error {
	if state.instances == nil {
		return nil
	}
	c := a.instanceOf(keyring)
	if err := state.instances.Join(a.ctx, c); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.instance = c
	return nil
}

// keyLost has this Caddy use a database whose encryption key nobody has any more.
func (a *App) keyLost(ctx context.Context, id string) error {
	var foreign *instances.ForeignKeyError
	if !errors.As(a.cause(), &foreign) {
		return errors.New("this Caddy is not refused for a key that it does not have")
	}
	keyring, err := a.configuredKeys()
	if len(a.EncryptionKeys) == 0 {
		return errors.New("configure an encryption_key first: all instances need the same one")
	} else if err != nil {
		return err
	}
	store, err := a.opener.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	shared, ok := store.(instances.Store)
	if !ok {
		return errors.New("this store is for one Caddy")
	}
	return instances.DeclareLost(ctx, shared, adminapi.OwnVersion(), a.instanceOf(keyring), id, time.Now())
}

// keySources says where the keys of the ring come from, in order. A key itself is
// never told.
func keySources(configured []string, durable bool) []string {
	sources := make([]string, len(configured))
	for i, value := range configured {
		if sources[i] = value; !onePlaceholder.MatchString(value) {
			sources[i] = "text in the configuration"
		}
	}
	switch {
	case len(sources) > 0:
		return sources
	case !durable:
		return []string{"this process"}
	}
	return []string{"{file." + generatedKey() + "}"}
}

// longestToken returns how long an access token lives at most, at any site.
func longestToken(handlers []*Handler) (longest time.Duration) {
	for _, h := range handlers {
		longest = max(longest, time.Duration(h.cfg.AccessTokenLifetime), time.Duration(h.cfg.GrantLifetime))
	}
	return longest
}

// rotationOf returns how far a change of the key is, once the store is open.
func rotationOf(a *App) *rotation.Rotation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rotation
}

// generatedKey is the file of the key that is made where none is configured. It is not
// beside the database, so that a copy of that directory is not a copy of the key.
func generatedKey() string {
	return filepath.Join(caddy.AppDataDir(), "mcp_oauth", "keys", "encryption.key")
}

// installed returns what a configuration keeps its records in, without running it.
func installed(config []byte) (in cli.Installation, err error) {
	var all struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	app := new(App)
	if err := json.Unmarshal(config, &all); err != nil {
		return in, err
	}
	if raw := all.Apps[appName]; raw != nil {
		if err := json.Unmarshal(raw, app); err != nil {
			return in, err
		}
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	app.ctx, app.log = ctx, zap.NewNop()
	if err := app.loadStorage(); err != nil {
		return in, err
	}
	in.Store, in.Open = app.storeName(), app.opener.Open
	if file, ok := app.opener.(*BboltStorage); ok {
		in.Path = file.path
	}
	if from, movable := app.opener.(interface{ movePlace() move.Place }); movable {
		in.Move = from.movePlace()
	}
	in.Keys, in.KeysFailure = installedKeys(app)
	return in, nil
}

// installedKeys returns the keys that are there.
func installedKeys(a *App) (*seal.Keyring, error) {
	if len(a.EncryptionKeys) > 0 {
		return a.configuredKeys()
	}
	key, err := encryptionkey.Generated(generatedKey(), a.opener.Key(), func() (bool, error) { return false, nil })
	if err != nil {
		return nil, err
	}
	return seal.NewKeyring(key)
}

// announce tells other instances of this one, and looks in what they differ.
func (p *processState) announce(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	active.mu.Lock()
	c := active.instance
	active.mu.Unlock()
	err := p.instances.Turn(ctx, c)
	if ctx.Err() == nil && p.reportedOthers.due(err, time.Now()) {
		p.storeFailed("telling other instances of this one", err)
	}
}
