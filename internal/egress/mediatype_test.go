package egress

import (
	"net/http"
	"testing"
)

func TestMediaType(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
		json  bool
	}{
		"none":                     {nil, "", false},
		"empty":                    {[]string{""}, "", false},
		"one":                      {[]string{"application/json"}, "application/json", true},
		"parameters":               {[]string{`Application/JSON; charset="utf-8"`}, "application/json", true},
		"malformed parameters":     {[]string{"application/json; charset"}, "application/json", true},
		"a comma in a parameter":   {[]string{`application/ld+json; profile="a,b"`}, "application/ld+json", true},
		"twice":                    {[]string{"application/json", "application/json"}, "application/json", true},
		"twice, other parameters":  {[]string{"application/json", "application/json; charset=utf-8"}, "application/json", true},
		"twice on one line":        {[]string{"application/json, application/json"}, "application/json", true},
		"twice, with parameters":   {[]string{"application/json; charset=utf-8, application/json; charset=utf-8"}, "application/json", true},
		"two on one line":          {[]string{"application/json, text/html"}, "", false},
		"two on one, parameters":   {[]string{"application/json; charset=utf-8, text/html"}, "", false},
		"two":                      {[]string{"text/html", "application/json"}, "", false},
		"two that would be JSON":   {[]string{"application/json", "application/jwk-set+json"}, "", false},
		"one and nothing":          {[]string{"application/json", ""}, "", false},
		"text":                     {[]string{"text/plain"}, "text/plain", false},
		"JSON in name only":        {[]string{"text/json"}, "text/json", false},
		"suffix of no application": {[]string{"image/x+json"}, "image/x+json", false},
		"not a type":               {[]string{"json"}, "json", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"Content-Type": tt.lines}
			if got := MediaType(h); got != tt.want {
				t.Errorf("media type %q, want %q", got, tt.want)
			}
			if got := isJSON(h); got != tt.json {
				t.Errorf("JSON %v, want %v", got, tt.json)
			}
		})
	}
}
