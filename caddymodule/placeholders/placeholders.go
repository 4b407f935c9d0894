// Package placeholders replaces Caddy's placeholders, such as {env.NAME} and
// {file./path}, in a configuration that is loaded, and says what to do where one
// cannot be. What requests have is not known then.
package placeholders

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Replace is the config.Resolver of a configuration that is loaded. It reports
// whether the value had a placeholder. An error names the placeholder and the fix,
// and nothing that a placeholder stands for.
func Replace(value string) (string, bool, error) {
	if _, known, err := config.KeepPlaceholders(value); known || err != nil {
		return value, true, err
	}
	// Caddy logs each time that a file cannot be read, and virtual keys are looked
	// for every few seconds.
	for _, key := range config.Placeholders(value) {
		if file, ok := strings.CutPrefix(key, "file."); ok {
			if err := readable(file); err != nil {
				return "", true, explainPlaceholder(value, err)
			}
		}
	}
	text, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", true, explainPlaceholder(value, err)
	}
	return text, true, nil
}

// relativeFile is what the Caddyfile makes of {file. before a name without a slash.
const relativeFile = "http.request.uri.path.file."

// explainPlaceholder returns why a value could not be resolved, and what to do.
func explainPlaceholder(value string, err error) error {
	for _, key := range config.Placeholders(value) {
		placeholder := "{" + key + "}"
		if name, ok := strings.CutPrefix(key, "env."); ok {
			if text, set := os.LookupEnv(name); !set {
				return fmt.Errorf("%s: the environment variable is not set; set %s where Caddy is started", placeholder, name)
			} else if text == "" {
				return fmt.Errorf("%s: the environment variable is empty; set %s where Caddy is started", placeholder, name)
			}
			continue
		}
		if file, ok := strings.CutPrefix(key, "file."); ok {
			if err := readable(file); err != nil {
				return fmt.Errorf("%s: %w", placeholder, err)
			}
			continue
		}
		if name, ok := strings.CutPrefix(key, relativeFile); ok {
			return fmt.Errorf("{file.%s}: in a Caddyfile this is a part of the request's URL; write the absolute path of the file, {file./path/%s}", name, name)
		}
		if _, known := caddy.NewReplacer().Get(key); !known {
			if strings.Contains(key, ".") {
				key = "NAME"
			}
			return fmt.Errorf("%s is not known when the configuration is loaded; use {env.%s}, or {file./path}", placeholder, key)
		}
	}
	return err
}

// readable reports why a file gives no text.
func readable(file string) error {
	text, err := os.ReadFile(file)
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file; write its absolute path, and see that it exists before Caddy starts")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("Caddy's user may not read the file; change its owner or mode")
	case errors.As(err, &pathErr):
		return pathErr.Err
	case err == nil && len(text) == 0:
		return errors.New("the file is empty; write the value into it")
	}
	return err
}
