// Package siteblock reads the block of a Caddyfile that a directive stands in, which
// Caddy keeps from plugins. It knows no directive of ours.
package siteblock

import (
	"errors"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

var errNoURL = errors.New("public_url cannot be derived from the address of this site; add public_url https://… with the address people use")

// URL derives the public URL from the address of the block.
func URL(h httpcaddyfile.Helper) (string, error) {
	keys := addresses(h)
	if h.IsNamedRoute() || len(keys) != 1 {
		return "", errNoURL
	}
	address, err := httpcaddyfile.ParseAddress(keys[0])
	if err != nil || address.Host == "" || strings.ContainsAny(address.Host, "*{") || strings.Contains(address.Port, "{") {
		return "", errNoURL
	}
	scheme := schemeOf(address)
	return scheme + "://" + config.JoinHostPort(address.Host, address.Port, scheme), nil
}

// CheckAddresses refuses a site that answers on http's own port what it answers
// over https: tokens would travel in clear. Another port is chosen, for a proxy
// in front that ends TLS.
func CheckAddresses(h httpcaddyfile.Helper) error {
	schemes := map[string]string{}
	for _, key := range addresses(h) {
		address, err := httpcaddyfile.ParseAddress(key)
		if err != nil || address.Host == "" || oauth.IsLoopbackHost(address.Host) {
			continue
		}
		scheme := schemeOf(address)
		if scheme == "http" && address.Port != "" && address.Port != "80" {
			continue
		}
		if other, ok := schemes[address.Host]; ok && other != scheme {
			return config.Errorf("", "the site answers on http://%s too, where tokens travel in clear; remove that address: Caddy leads http to https by itself", address.Host)
		}
		schemes[address.Host] = scheme
	}
	return nil
}

func schemeOf(address httpcaddyfile.Address) string {
	if address.Scheme == "http" || address.Port == "80" {
		return "http"
	}
	return "https"
}

// addresses returns those of the block. Caddy keeps them from plugins, though
// nothing else knows the address at this time. Reading an unexported field by reflection is safe; should a release
// of Caddy rename it, this returns nothing, and the operator is asked for
// public_url.
func addresses(h httpcaddyfile.Helper) []string {
	keys := part(h, "Keys")
	texts := make([]string, 0, len(keys))
	for _, token := range keys {
		texts = append(texts, token.Text)
	}
	return texts
}

// Directives returns the lines of the block, by their first word.
func Directives(h httpcaddyfile.Helper) map[string][]caddyfile.Token {
	lines := map[string][]caddyfile.Token{}
	var before caddyfile.Token
	for _, token := range part(h, "Segments") {
		if token.File != before.File || token.Line != before.Line {
			lines[token.Text] = append(lines[token.Text], token)
		}
		before = token
	}
	return lines
}

// part returns the tokens in a part of the block.
func part(h httpcaddyfile.Helper, name string) (tokens []caddyfile.Token) {
	block := reflect.ValueOf(h).FieldByName("parentBlock")
	if !block.IsValid() || block.Kind() != reflect.Struct {
		return nil
	}
	return appendTokens(nil, block.FieldByName(name))
}

// appendTokens adds the tokens in a value, which may be lists of lists.
func appendTokens(tokens []caddyfile.Token, value reflect.Value) []caddyfile.Token {
	if value.IsValid() && value.Kind() == reflect.Slice {
		for i := range value.Len() {
			tokens = appendTokens(tokens, value.Index(i))
		}
		return tokens
	}
	if !value.IsValid() || value.Kind() != reflect.Struct {
		return tokens
	}
	text, file, line := value.FieldByName("Text"), value.FieldByName("File"), value.FieldByName("Line")
	if text.Kind() != reflect.String || file.Kind() != reflect.String || line.Kind() != reflect.Int {
		return tokens
	}
	return append(tokens, caddyfile.Token{Text: text.String(), File: file.String(), Line: int(line.Int())})
}
