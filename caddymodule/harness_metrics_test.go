package caddymodule

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// series is one line of a scrape.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// scrape is what Prometheus reads.
type scrape []series

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"`)
)

// readScrape reads the text format, but for our own metrics nothing.
func readScrape(t *testing.T, text string) (s scrape) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "caddy_mcp_oauth_") {
			continue
		}
		m := seriesLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("not a series: %q", line)
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		one := series{m[1], map[string]string{}, value}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			one.labels[pair[1]] = pair[2]
		}
		s = append(s, one)
	}
	return s
}

// scrape reads the metrics on the admin endpoint.
func (g *instance) scrape(addr string) scrape {
	g.t.Helper()
	return readScrape(g.t, g.scraped(addr))
}

func (g *instance) scraped(addr string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := once.RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	return status(g.t, res, http.StatusOK)
}

// matching returns the series with the name, without the prefix, and labels.
func (s scrape) matching(name string, labels ...string) scrape {
	return slices.DeleteFunc(slices.Clone(s), func(one series) bool {
		for i := 0; i < len(labels); i += 2 {
			if one.labels[labels[i]] != labels[i+1] {
				return true
			}
		}
		return one.name != "caddy_mcp_oauth_"+name
	})
}

// sum adds up the series with the name and labels.
func (s scrape) sum(name string, labels ...string) (sum float64) {
	for _, one := range s.matching(name, labels...) {
		sum += one.value
	}
	return sum
}

// of returns the series of a site, and those of no site.
func (s scrape) of(site string) scrape {
	return slices.DeleteFunc(slices.Clone(s), func(one series) bool {
		of, ok := one.labels["site"]
		return ok && of != site
	})
}

// ofSite returns our part of what was scraped, without the sites of other tests: a
// counter stays for as long as the process, and promlint compares each with each.
func ofSite(text, site string) string {
	var ours strings.Builder
	for line := range strings.Lines(text) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(name, "caddy_mcp_oauth_") && (!strings.Contains(line, `site="`) || strings.Contains(line, `site="`+site+`"`)) {
			ours.WriteString(line)
		}
	}
	return ours.String()
}
