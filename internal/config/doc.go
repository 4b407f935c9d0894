// Package config is the configuration of one site in its only shape: what an
// operator writes, as Caddyfile or JSON, is what the run time uses, once
// Site.Resolve has checked it, replaced its placeholders and filled in what was
// left out.
//
// It owns what can be configured, the defaults and every check that needs no
// Caddy. A function called resolve... checks a part of the configuration and
// settles it: it replaces placeholders, fills in defaults, or derives what the run
// time needs. One called check... changes nothing of it. Errors name the field by its path in the JSON, such as
// servers[1].auth.client_id. It never reads a file, asks anybody or keeps
// state, and no error repeats a secret.
package config
