//go:build !race

package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Nothing happens at once here, and the race detector makes it cost seven times as much.

// What every option of the Caddyfile adapts to with many values, good and bad, or
// with which words and line it is refused, is what the golden file says. A new
// option adds lines to it; a line that changes is a change for operators.
func TestValuesOfEveryOption(t *testing.T) {
	setGoldenEnv(t)
	var out bytes.Buffer
	for _, b := range blocks() {
		around, ok := goldenAround[b.title]
		if !ok {
			continue
		}
		fmt.Fprintf(&out, "# %s\n", b.title)
		tried := map[string]bool{}
		for _, u := range usages(b.grammar) {
			name, args, _ := strings.Cut(u.option, " ")
			lines := []string{name, name + " x x x x"}
			for _, v := range goldenValues {
				switch len(option[any]{args: args}.arguments()) {
				case 0, 1:
					lines = append(lines, name+" "+v)
				case 2:
					lines = append(lines, name+" "+v+" x", name+" X-Golden "+v)
				default:
					lines = append(lines, name+" "+v+" /x", name+" X-Golden "+v, name+" t /mcp "+v)
				}
			}
			for _, line := range lines {
				if tried[line] {
					continue
				}
				tried[line] = true
				fmt.Fprintf(&out, "%s\n\t%s\n", line, goldenCaddyfile(t, around[0]+"\n"+line+"\n"+around[1]))
			}
		}
	}
	compareGoldenText(t, "testdata/golden/options.txt", out.String())
}

// Whether a JSON configuration loads with every value left out or replaced by
// good and bad ones, or with which path and words it is refused, is what the
// golden file says.
func TestValuesOfEveryField(t *testing.T) {
	setGoldenEnv(t)
	var out bytes.Buffer
	try := func(what string, site any) {
		handler, err := json.Marshal(site)
		if err != nil {
			t.Fatal(err)
		}
		result := "ok"
		if err := loadableJSON(t, fmt.Appendf(nil, `{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:8099"],"routes":[{"handle":[%s]}]}}}}}`, handler)); err != nil {
			result = ours(err)
		}
		fmt.Fprintf(&out, "%s\n\t%s\n", what, result)
	}
	fresh := func() map[string]any { // to be changed
		var site map[string]any
		if err := json.Unmarshal([]byte(goldenSite), &site); err != nil {
			t.Fatal(err)
		}
		return site
	}
	try("unchanged", fresh())
	for _, place := range places(fresh(), nil) {
		name := strings.Join(place, "/")
		site := fresh()
		change(site, place, nil, true)
		try(name+" left out", site)
		for _, text := range goldenJSON {
			var value any
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			site := fresh()
			change(site, place, value, false)
			try(name+" "+text, site)
		}
	}
	compareGoldenText(t, "testdata/golden/fields.txt", out.String())
}
