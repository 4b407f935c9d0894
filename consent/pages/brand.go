package pages

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Brand is how an operator makes the pages their own.
type Brand struct {
	// Name of the site, shown on top of every page. Default: "MCP gateway".
	Name string
	// Accent is the colour of buttons, as #rrggbb. The text on them is black
	// or white, whichever is easier to read. Default: #2456d6.
	Accent string
	// Logo is a data: URI of a PNG, JPEG, WebP, GIF or SVG image of at most
	// 64 KiB, shown beside the name. Pages load nothing from elsewhere, so it
	// cannot be an http URL. Default: none.
	Logo string
}

const (
	defaultName   = "MCP gateway"
	defaultAccent = "#2456d6"
	maxLogo       = 64 << 10
)

var (
	colour   = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	svgRoot  = regexp.MustCompile(`^(?s:\x{FEFF}?\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*|<![A-Za-z][^>]*>\s*)*<svg[\s>])`)
	imageURI = regexp.MustCompile(`^data:image/(?:png|jpeg|webp|gif|svg\+xml);base64,`)
)

// withDefaults returns the brand as it is shown, or what is wrong with it.
func (b Brand) withDefaults() (Brand, error) {
	if b.Name == "" {
		b.Name = defaultName
	}
	if b.Accent == "" {
		b.Accent = defaultAccent
	}
	if !colour.MatchString(b.Accent) {
		return b, fmt.Errorf("accent colour %q: write it as #rrggbb", b.Accent)
	}
	return b, checkLogo(b.Logo)
}

func checkLogo(logo string) error {
	if logo == "" {
		return nil
	}
	prefix := imageURI.FindString(logo)
	if prefix == "" {
		return errors.New("logo: write it as data:image/png;base64,… (png, jpeg, webp, gif or svg+xml)")
	}
	image, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(logo, prefix))
	if err != nil {
		return errors.New("logo: what follows the comma is not base64")
	}
	if len(image) == 0 || len(image) > maxLogo {
		return fmt.Errorf("logo: the image has %d bytes, at most %d are allowed", len(image), maxLogo)
	}
	return nil
}

// Logo returns an image as Brand has it, or what is wrong with it. It is told by
// its content what it is. An SVG is shown as an image and nothing else, so that
// nothing in it runs or loads (SVG integration, secure animated mode).
func Logo(image []byte) (string, error) {
	kind, _, _ := strings.Cut(http.DetectContentType(image), ";")
	if strings.HasPrefix(kind, "text/") && svgRoot.Match(image) {
		kind = "image/svg+xml"
	}
	logo := "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(image)
	if !imageURI.MatchString(logo) {
		return "", errors.New("it is no PNG, JPEG, WebP, GIF or SVG image")
	}
	if len(image) > maxLogo {
		return "", fmt.Errorf("the image has more than %d KiB; every page carries it", maxLogo>>10)
	}
	return logo, nil
}

// textOn returns the colour of text on the background: white while it has the
// contrast of WCAG 2.2 level AA, else black, which then has more.
func textOn(background string) string {
	if contrast("#ffffff", background) >= 4.5 {
		return "#ffffff"
	}
	return "#000000"
}

// contrast returns the contrast ratio of two #rrggbb colours (WCAG 2.2).
func contrast(a, b string) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance returns the relative luminance of a #rrggbb colour.
func luminance(c string) float64 {
	rgb, err := strconv.ParseUint(c[1:], 16, 32)
	if err != nil {
		return 0
	}
	return 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8) + 0.0722*linear(rgb)
}

// linear undoes the gamma of the lowest 8 bits.
func linear(channel uint64) float64 {
	v := float64(channel&0xff) / 255
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}
