package consent

import (
	"net/http"

	"github.com/google/uuid"
)

// notice is a message on top of a page: why what the person tried did not
// work. It is made of our own words alone; a link can choose among them.
type notice struct {
	Server    string // its title, if the message is about one
	Text      string
	Reference string // correlation id
}

func (c *Consent) notice(r *http.Request) notice {
	query := r.URL.Query()
	n := notice{Text: c.pages.text.Refused[query.Get("error")]}
	if n.Text == "" {
		return n
	}
	for _, s := range c.as.Config().Servers {
		if s.ID == query.Get("server") {
			n.Server = titleOf(s)
		}
	}
	if id, err := uuid.Parse(query.Get("ref")); err == nil {
		n.Reference = id.String()
	}
	return n
}
