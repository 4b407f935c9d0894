package config

import (
	"strconv"
	"strings"
	"testing"
)

func TestValidOrigin_E19(t *testing.T) {
	for origin, want := range map[string]bool{
		"https://app.example.com":                              true,
		"https://app.example.com:8443":                         true,
		"http://app.example.com":                               true,
		"http://[::1]:3000":                                    true,
		"chrome-extension://abcdefghijklmnopabcdefghijklmnop":  true,
		"moz-extension://0c62b6a1-6d6f-4b2e-9d1f-0123456789ab": true,
		"tauri://localhost":                                    true,
		"app://obsidian.md":                                    true,
		"vscode-webview://1AbC":                                true,
		"null":                                                 false,
		"":                                                     false,
		"*":                                                    false,
		"https://*.example.com":                                false,
		"chrome-extension://*":                                 false,
		"https://app.example.com/":                             false,
		"app://obsidian.md/":                                   false,
		"app://obsidian.md?x":                                  false,
		"app://obsidian.md#":                                   false,
		"https://u@app.example.com":                            false,
		"HTTPS://app.example.com":                              false,
		"https://App.example.com":                              false,
		"https://b\u00fccher.example":                          false,
		"app:obsidian":                                         false,
		"app://":                                               false,
		"file://":                                              false,
		"https://:443":                                         false,
		"//app.example.com":                                    false,
		"://app.example.com":                                   false,
		"app.example.com":                                      false,
		" https://app.example.com":                             false,
	} {
		if got := validOrigin(origin); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
}

// N07: where the configuration is JSON, too, a host has the one form in which
// requests name it.
func TestInternationalPublicURL_N07(t *testing.T) {
	for text, write := range map[string]string{
		"https://b\u00fccher.example":         "https://xn--bcher-kva.example",
		"https://b%C3%BCcher.example/":        "https://xn--bcher-kva.example",
		"https://cl\u0430ude.ai:8443":         "https://xn--clude-5ve.ai:8443",
		"https://bu\u0308cher.example:443":    "https://xn--bcher-kva.example",
		"https://a\u2044b.example":            "https://xn--ab-c6t.example",
		"https://b\u00fccher\u202e.example/x": "", // it has more than a host
	} {
		issuer, err := parsePublicURL(text)
		if err == nil {
			t.Errorf("%q is accepted as %q", text, issuer)
			continue
		}
		want := `" has more than scheme and host; write ` + strconv.Quote("https://b\u00fccher\u202e.example")
		if write != "" {
			want = `public_url: "` + text + `" is not how browsers and clients write it; write ` + write
		}
		if !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if issuer, err := parsePublicURL("https://xn--bcher-kva.example"); err != nil || issuer != "https://xn--bcher-kva.example" {
		t.Errorf("%q, %v", issuer, err)
	}
}

// N07: an address has the form in which browsers and Caddy write it.
func TestAddressInPublicURL_N07(t *testing.T) {
	for text, want := range map[string]string{
		"https://[2001:0DB8:0:0::1]:8443": "https://[2001:db8::1]:8443",
		"https://[2001:db8:0:0:0:0:0:1]/": "https://[2001:db8::1]",
		"http://[0:0:0:0:0:0:0:1]:8080":   "http://[::1]:8080",
		"https://192.0.2.1:443":           "https://192.0.2.1",
		"https://MCP.example.com":         "https://mcp.example.com",
	} {
		if got, err := parsePublicURL(text); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}
