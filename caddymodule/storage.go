package caddymodule

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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
	if file, ok := opener.(*BboltStorage); ok {
		if err := file.resolve(); err != nil {
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

// poolKey names the store among all of the process.
func (a *App) poolKey() string { return a.engine + " " + a.opener.Key() }
