package presets

import (
	"reflect"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Preset is what is known of a service.
type Preset struct {
	// Name is what an operator writes.
	Name string `json:"name"`
	// Title is what people read.
	Title string `json:"title"`
	// URL is that of the MCP server.
	URL string `json:"url"`
	// Application is where an operator registers an application, if the service
	// takes no client that is not.
	Application string `json:"application,omitempty"`
	// Note is what an operator has to know besides.
	Note string `json:"note,omitempty"`
	// Auth is what is not discovered.
	Auth config.Auth `json:"auth"`
}

// All returns all presets, by name.
func All() []Preset { return slices.Clone(all) }

// Find returns the preset of a name, or nil.
func Find(name string) *Preset {
	if i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name }); i >= 0 {
		p := all[i]
		return &p
	}
	return nil
}

// Names returns the names of all presets.
func Names() []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	return names
}

// Complete adds to a server what the operator left out. Where they gave a credential
// or let people paste one, nobody connects an account.
func (p *Preset) Complete(s *config.Server) {
	if s.Upstream == "" {
		s.Upstream = p.URL
	}
	if s.Path == "" {
		s.Path = "/" + s.ID + "/mcp"
	}
	if s.Title == "" {
		s.Title = p.Title
	}
	if s.Auth == nil && len(s.Headers) > 0 || s.Auth != nil && s.Auth.Mode == config.PerUserHeaders {
		return
	}
	if s.Auth == nil {
		s.Auth = &config.Auth{Mode: config.PerUserOAuth}
	}
	complete(reflect.ValueOf(s.Auth).Elem(), reflect.ValueOf(p.Auth))
	if s.Auth.ClientID != "" && s.Auth.CallbackPath == "" {
		s.Auth.CallbackPath = config.SharedCallbackPath + "/" + s.ID
	}
}

// complete sets the fields that are not set.
func complete(to, from reflect.Value) {
	for i := range to.NumField() {
		if to.Type().Field(i).Anonymous {
			complete(to.Field(i), from.Field(i))
		} else if to.Field(i).IsZero() && !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
}

// NeedsApplication reports whether a server, which is complete, lacks the application
// that its operator has to register.
func (p *Preset) NeedsApplication(s *config.Server) bool {
	return p.Application != "" && s.Auth != nil && s.Auth.Mode != config.PerUserHeaders && s.Auth.ClientID == ""
}

// IsURL reports whether a text is meant as a URL rather than as a name.
func IsURL(text string) bool { return strings.ContainsAny(text, ":/{") }
