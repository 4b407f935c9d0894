//go:build integration

package integration_test

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

var pictures = flag.Bool("pictures", false, "take the pictures of docs/images anew")

// maxPicture keeps the repository small.
const maxPicture = 60 << 10

// With -pictures, the pictures that the documentation shows are taken of the
// pages as they are:
//
//	go test -tags integration ./integration_test -run TestPictures -pictures
//
// Without, those that are there are small enough.
func TestPictures(t *testing.T) {
	const folder = "../docs/images"
	if *pictures {
		takePictures(t, folder)
	}
	all, err := filepath.Glob(filepath.Join(folder, "*.png"))
	if err != nil || len(all) < 12 {
		t.Fatalf("%d pictures, %v; want a dozen", len(all), err)
	}
	for _, path := range all {
		if info, err := os.Stat(path); err != nil || info.Size() > maxPicture {
			t.Errorf("%s: %v, more than %d bytes", path, err, maxPicture)
		}
	}
}

func takePictures(t *testing.T, folder string) {
	t.Helper()
	provider := harness.StartProvider(t, time.Hour)
	notes, wiki := harness.ServeAccounts(t, provider, "/notes/mcp"), harness.Record(t)
	const searchKey = "search-key-of-ada-0123456789"
	search := harness.ServeKeyed(t, map[string]string{searchKey: harness.Ada})
	g := harness.Run(t, harness.Config{
		Directives: `
			identity virtual_key
			virtual_key alice {env.ALICE_KEY}
			insecure_allow_loopback
			branding {
				name Acme
			}
			server notes /notes ` + notes.URL + ` {
				title Notes
				auth per_user_oauth {
					optional
					scopes openid email read
				}
				scopes notes:read
				optional_scopes notes:write
			}
			server wiki /wiki ` + wiki.URL + ` {
				title "Team wiki"
			}
			server search /search ` + search.URL + ` {
				title Search
				auth per_user_headers {
					header X-API-Key "" "Search API key"
					optional
				}
			}
			scope notes:read "Read your notes"
			scope notes:write "Change your notes"
		`,
		Env: keys[:1],
	})
	taken := t.TempDir()
	walk := programs.Node(t, "pictures.mjs")
	walk.Env = append(walk.Env, "SITE="+g.URL, "VIRTUAL_KEY="+aliceKey, "SEARCH_KEY="+searchKey, "CHROMIUM="+chromium(t), "PICTURES="+taken)
	p := programs.Start(t, walk)
	if err := p.WaitFor(t, 5*time.Minute); err != nil {
		t.Fatalf("%v; printed last:\n%s", err, p.Tail())
	}
	all, err := filepath.Glob(filepath.Join(taken, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(path)), shrink(t, path), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shrink returns a picture of a page with at most 64 colours.
func shrink(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	bounds := whole.Bounds()
	counts := map[color.Color]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[whole.At(x, y)]++
		}
	}
	// The colours of areas are all among them; those at the edges of letters
	// become the nearest.
	often := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(rgb(a), rgb(b)))
	})
	palette := color.Palette(often[:min(len(often), 64)])
	nearest := map[color.Color]uint8{}
	small := image.NewPaletted(bounds, palette)
	for c := range counts {
		nearest[c] = uint8(palette.Index(c))
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[whole.At(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// rgb puts colours into an order.
func rgb(c color.Color) uint64 {
	r, g, b, _ := c.RGBA()
	return uint64(r)<<32 | uint64(g)<<16 | uint64(b)
}
