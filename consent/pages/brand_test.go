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

func TestLogo(t *testing.T) {
	const png = "\x89PNG\r\n\x1a\n"
	for name, test := range map[string]struct{ image, want, err string }{
		"PNG":             {image: png + "rest", want: "data:image/png;base64,"},
		"JPEG":            {image: "\xff\xd8\xff\xe0rest", want: "data:image/jpeg;base64,"},
		"GIF":             {image: "GIF89a", want: "data:image/gif;base64,"},
		"WebP":            {image: "RIFF\x00\x00\x00\x00WEBPVP8 ", want: "data:image/webp;base64,"},
		"SVG":             {image: `<svg xmlns="http://www.w3.org/2000/svg"/>`, want: "data:image/svg+xml;base64,"},
		"SVG with more":   {image: "\ufeff<?xml version=\"1.0\"?>\n<!-- made by\na tool -->\n<!DOCTYPE svg PUBLIC \"x\">\n<svg>", want: "data:image/svg+xml;base64,"},
		"as large as can": {image: png + strings.Repeat("x", maxLogo-len(png)), want: "data:image/png;base64,"},
		"too large":       {image: png + strings.Repeat("x", maxLogo), err: "more than 64 KiB"},
		"HTML":            {image: "<!DOCTYPE html><html><svg>", err: "no PNG"},
		"text":            {image: "logo <svg>", err: "no PNG"},
		"XML":             {image: "<?xml version=\"1.0\"?><a><svg/></a>", err: "no PNG"},
		"BMP":             {image: "BM", err: "no PNG"},
		"empty":           {image: "", err: "no PNG"},
	} {
		got, err := Logo([]byte(test.image))
		if !strings.HasPrefix(got, test.want) || (got == "") != (test.err != "") || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %.40q, %v; want %q, %s", name, got, err, test.want, test.err)
		}
		if err == nil {
			if _, err := New(Brand{Logo: got}); err != nil {
				t.Errorf("%s: no page can have it: %v", name, err)
			}
		}
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
