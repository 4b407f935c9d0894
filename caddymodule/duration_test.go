package caddymodule

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// A duration is read and written as Caddy does it.
func TestDurationsAreCaddys(t *testing.T) {
	for _, text := range []string{
		`"1h"`, `"30d"`, `"1.5d"`, `"1d12h"`, `"-1d"`, `"+2d3d"`, `"0"`, `""`, `"d"`, `"1dd"`, `"hd"`, `"1-2d"`, `"1m1d1s"`, `"99999999d"`, `"1e3d"`, `"1_0d"`,
		`"1h`, `1`, `0`, `-5`, `1.5`, `null`, `true`, `"\u0031h"`, `" 1h"`, `{}`, `3600000000000`, `99999999999999999999`,
	} {
		var want caddy.Duration
		var got config.Duration
		wantErr, gotErr := json.Unmarshal([]byte(text), &want), json.Unmarshal([]byte(text), &got)
		if (gotErr == nil) != (wantErr == nil) || wantErr == nil && int64(got) != int64(want) {
			t.Errorf("%s: got %d, %v, want %d, %v", text, got, gotErr, want, wantErr)
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := json.Marshal(want); wantErr == nil && (err != nil || string(written) != string(theirs)) {
			t.Errorf("%s: written as %s, want %s", text, written, theirs)
		}
	}
}
