package pages

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

const onePixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

func TestBrandRefused(t *testing.T) {
	tests := map[string]Brand{
		"accent by name":        {Accent: "red"},
		"short accent":          {Accent: "#fff"},
		"accent with more":      {Accent: "#ffffff;}*{display:none"},
		"accent on two lines":   {Accent: "#ffffff\n"},
		"logo by URL":           {Logo: "https://example.com/logo.png"},
		"logo of another type":  {Logo: "data:text/html;base64,PGI+"},
		"logo without base64":   {Logo: "data:image/svg+xml,<svg/>"},
		"logo that is no image": {Logo: "data:image/png;base64,%%%"},
		"empty logo":            {Logo: "data:image/png;base64,"},
		"logo of 65 KiB": {Logo: "data:image/png;base64," +
			base64.StdEncoding.EncodeToString(make([]byte, 65<<10))},
	}
	for name, brand := range tests {
		t.Run(name, func(t *testing.T) {
			want := "write it as #rrggbb"
			switch {
			case name == "logo that is no image":
				want = "not base64"
			case name == "empty logo", name == "logo of 65 KiB":
				want = "at most 65536"
			case brand.Logo != "":
				want = "write it as data:image/png;base64,"
			}
			if _, err := New(brand); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestContrast(t *testing.T) {
	if got := contrast("#000000", "#ffffff"); got < 20.99 || got > 21.01 {
		t.Errorf("black on white = %v, want 21", got)
	}
	if got := contrast("#767676", "#ffffff"); got < 4.5 || got > 4.6 {
		t.Errorf("#767676 on white = %v, want 4.54", got)
	}
	for _, accent := range []string{"#000000", "#ffffff", "#ffcc00", "#808080", "#ff0000", "#00ff00", defaultAccent} {
		if got := contrast(textOn(accent), accent); got < 4.5 {
			t.Errorf("text on %s has a contrast of %.2f", accent, got)
		}
	}
}

// The style's own colours are readable in both schemes (WCAG 2.2, level AA:
// 4.5 for text, 3 for the border of a field).
func TestPaletteIsReadable(t *testing.T) {
	css, err := files.ReadFile("templates/style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`:root\{[^}]*--page:[^}]*\}`).FindAllString(string(css), -1)
	if len(schemes) != 2 {
		t.Fatalf("%d colour schemes, want light and dark", len(schemes))
	}
	variable := regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6})`)
	for _, scheme := range schemes {
		colours := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(scheme, -1) {
			colours[m[1]] = m[2]
		}
		for _, pair := range []struct {
			front, back string
			want        float64
		}{
			{"text", "page", 4.5}, {"text", "card", 4.5}, {"soft", "page", 4.5}, {"soft", "card", 4.5},
			{"link", "page", 4.5}, {"link", "card", 4.5}, {"warn-text", "warn", 4.5}, {"bad-text", "bad", 4.5},
			{"good-text", "good", 4.5}, {"field", "card", 3}, {"field", "page", 3},
		} {
			front, back := colours[pair.front], colours[pair.back]
			if front == "" || back == "" {
				t.Fatalf("no colour %s or %s", pair.front, pair.back)
			}
			if got := contrast(front, back); got < pair.want {
				t.Errorf("%s %s on %s %s: contrast %.2f, want %.1f", pair.front, front, pair.back, back, got, pair.want)
			}
		}
	}
}
