package pages

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/inert"
)

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	// pair hands several values to a template.
	"pair": func(values ...any) []any { return values },
}).ParseFS(files, "templates/*.html"))

// Pages renders pages in one operator's brand. It implements server.Pages.
type Pages struct {
	brand Brand
	text  *Text
	style template.CSS
	logo  template.URL
	csp   string
}

// New returns pages in the brand, or what is wrong with the brand.
func New(brand Brand) (*Pages, error) {
	brand, err := brand.withDefaults()
	if err != nil {
		return nil, err
	}
	css, err := files.ReadFile("templates/style.css")
	if err != nil {
		return nil, err
	}
	style := fmt.Sprintf(":root{--accent:%s;--on-accent:%s}\n%s", brand.Accent, textOn(brand.Accent), css)
	return &Pages{
		brand: brand, text: &English, csp: policy(style, brand.Logo != ""),
		// Both were made or checked here; nothing of a request is in them.
		style: template.CSS(style), logo: template.URL(brand.Logo),
	}, nil
}

// policy returns the Content-Security-Policy of every page: nothing but the
// one style, and the logo if there is one. It has no form-action, which
// Chromium applies to the redirect after a form as well: that redirect leads
// to the client, perhaps to an app's own scheme. Forms cannot be injected
// where nothing but our templates writes HTML.
func policy(style string, logo bool) string {
	sum := sha256.Sum256([]byte(style))
	csp := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if logo {
		csp += "; img-src data:"
	}
	return csp + "; frame-ancestors 'none'; base-uri 'none'"
}

// Frame is what every page shows.
type Frame struct {
	T     *Text
	Brand Brand
	Style template.CSS
	Logo  template.URL
	Title string // the heading
	Tab   string // the title in the browser's tab, if it is another
	// HasProblem tells that what the person sent was refused; the page says why.
	HasProblem bool
}

// Text returns the words of the pages.
func (p *Pages) Text() *Text { return p.text }

// Frame returns the frame of a page.
func (p *Pages) Frame(title string) Frame {
	return Frame{T: p.text, Brand: p.brand, Style: p.style, Logo: p.logo, Title: title}
}

// Render answers with a page. It is written as a whole or not at all.
func (p *Pages) Render(w http.ResponseWriter, status int, name string, view any) error {
	page, err := render(name, view)
	if err != nil {
		return err
	}
	p.write(w, status, page, p.csp)
	return nil
}

// CanLeaveTo reports whether a form of a page may be sent straight to an address:
// its origin has to fit into a policy.
func CanLeaveTo(address string) bool { return formTarget(address) != "" }

// formTarget returns the origin of an address as a policy names it, or "".
func formTarget(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || strings.Trim(strings.ToLower(u.Host), "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// RenderLeaving is Render of a page with a form that is sent straight to another
// site, and may be to no other. Our own is where it leads back from there, which
// Chromium counts as well.
func (p *Pages) RenderLeaving(w http.ResponseWriter, form, name string, view any) error {
	page, err := render(name, view)
	if err != nil {
		return err
	}
	p.write(w, http.StatusOK, page, p.csp+"; form-action 'self' "+formTarget(form))
	return nil
}

// Static returns what answers with a page that is the same for everybody. It is
// rendered once: who asks for it is unknown, and how often.
func (p *Pages) Static(status int, name string, view any) (http.Handler, error) {
	page, err := render(name, view)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { p.write(w, status, page, p.csp) }), err
}

func render(name string, view any) ([]byte, error) {
	var body bytes.Buffer
	err := templates.ExecuteTemplate(&body, name, view)
	return inert.HTML(body.Bytes()), err
}

func (p *Pages) write(w http.ResponseWriter, status int, page []byte, csp string) {
	p.protect(w.Header())
	w.Header().Set("Content-Security-Policy", csp)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// protect sets the headers of every answer to a browser, redirects included.
func (p *Pages) protect(h http.Header) {
	h.Set("Content-Security-Policy", p.csp)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: it would take the origin off our own forms too, and
	// browsers that do not send Sec-Fetch-Site could not prove theirs.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// Redirect sends the browser on with 303: the form and what was typed into it
// stay behind (RFC 9700 section 4.12). The URL is written as it is, since it may
// belong to an app rather than to the web.
func (p *Pages) Redirect(w http.ResponseWriter, url string) {
	p.protect(w.Header())
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusSeeOther)
}

// Error answers with a page that says what went wrong and what to do. The
// message is shown as text; the correlation id finds the line in the log.
func (p *Pages) Error(w http.ResponseWriter, _ *http.Request, status int, message, correlationID string) {
	p.ErrorPage(w, Failure{Status: status, Message: message}, correlationID)
}

// Failure is what an error page says.
type Failure struct {
	Status  int
	Message string
	Title   string // of the page, if not the usual one of the status
	Next    string // what to do, if not the usual of the status
	Back    string // where the person can try again, if anywhere
}

// ErrorPage is Error with more to say.
func (p *Pages) ErrorPage(w http.ResponseWriter, f Failure, correlationID string) {
	switch f.Status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
	t := p.text
	view := struct {
		Frame
		Message, Next, BackURL, CorrelationID string
	}{
		p.Frame(cmp.Or(f.Title, t.ErrorTitle[f.Status], t.ErrorTitle[http.StatusBadRequest])),
		f.Message, cmp.Or(f.Next, t.ErrorNext[f.Status], t.ErrorOther), f.Back, correlationID,
	}
	if err := p.Render(w, f.Status, "error", view); err != nil {
		http.Error(w, f.Message, f.Status)
	}
}
