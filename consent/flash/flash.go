// Package flash tells a person on the next page what the form did that they
// sent, once.
//
// It travels in a cookie of its own, never in the address: no link can make a
// page say that something was done. What it names is text, and shown as such.
package flash

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
)

// Message is what was done: one of a page's own codes, and what it was done to.
type Message struct{ Code, About string }

// maxAbout bounds what a browser has to keep.
const maxAbout = 256

// Cookie carries messages to one issuer's next page.
type Cookie struct {
	cookies sessions.Cookies
	name    string
}

// CookieOf returns the cookie of an issuer. Each page that shows messages has
// its own, so that none shows another's.
func CookieOf(issuer, page string) Cookie {
	name := "mcp_done_" + page
	if strings.HasPrefix(issuer, "https://") {
		name = "__Host-" + name
	}
	return Cookie{sessions.CookiesOf(issuer), name}
}

// Set gives the browser a message for the next page. It goes when the browser
// is closed.
func (c Cookie) Set(w http.ResponseWriter, m Message) {
	if len(m.About) > maxAbout {
		m.About = strings.ToValidUTF8(m.About[:maxAbout], "")
	}
	http.SetCookie(w, c.cookies.Cookie(c.name, m.Code+"."+base64.RawURLEncoding.EncodeToString([]byte(m.About)), 0))
}

// Take returns the message that the browser has, and takes it back: a page that
// is loaded again does not say it again. Without one it is the zero Message.
func (c Cookie) Take(w http.ResponseWriter, r *http.Request) Message {
	if _, err := r.Cookie(c.name); err != nil {
		return Message{}
	}
	http.SetCookie(w, c.cookies.Cookie(c.name, "", -time.Second))
	code, about, _ := strings.Cut(c.cookies.Secret(r, c.name), ".")
	text, err := base64.RawURLEncoding.DecodeString(about)
	if err != nil || !utf8.Valid(text) || len(text) > maxAbout {
		return Message{}
	}
	return Message{code, string(text)}
}
