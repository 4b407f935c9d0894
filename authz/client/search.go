package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// errNoDocument marks what is wrong with one place where a document could be:
// there is none, or none that can be read. The next place may have one. What a
// document says, and must not, is no such error.
var errNoDocument = errors.New("no usable document")

// search looks for a document at one place after the other.
type search struct {
	client *Client
	// failures says what was wrong with each place that was asked in vain.
	failures []string
	// outage is true if a host could not answer just now, which says nothing
	// about whether there is a document. Many answer 5xx where they have none,
	// so the other places are tried all the same.
	outage bool
	// unreachable are origins to which no connection could be made.
	unreachable map[string]bool
}

// find gives read the documents at the places, until one is usable. Its error
// is an Error: of what a document says and must not, or, marked as
// errNoDocument, of all that was wrong with the places.
func (f *search) find(ctx context.Context, places []string, read func(place string, body []byte) error) error {
	for _, place := range places {
		if f.unreachable[Origin(place)] {
			continue
		}
		body, err := f.fetch(ctx, place)
		if err == nil {
			err = read(place, body)
		}
		if err == nil {
			return nil
		}
		if final := new(Error); errors.As(err, &final) {
			return final
		}
		f.note(place, err)
	}
	return f.err()
}

func (f *search) note(place string, err error) {
	f.failures = append(f.failures, LoggedURL(place)+": "+err.Error())
	f.outage = f.outage || errors.Is(err, egress.ErrUnavailable)
	if notReached(err) {
		if f.unreachable == nil {
			f.unreachable = map[string]bool{}
		}
		f.unreachable[Origin(place)] = true
	}
}

// err returns what went wrong, the first failure first.
func (f *search) err() error {
	kind := ProviderUnusable
	if f.outage {
		kind = ProviderDown
	}
	return Errorf(kind, "%w: %s", errNoDocument, strings.Join(f.failures, "; "))
}

// fetch gets a JSON document.
func (f *search) fetch(ctx context.Context, rawURL string) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	d, err := f.client.reach(u).FetchJSON(ctx, rawURL, maxMetadataLen)
	switch {
	case err == nil:
		return d.Body, nil
	case errors.Is(err, egress.ErrAnswer), errors.Is(err, egress.ErrURL), errors.Is(err, egress.ErrAddress):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", egress.ErrUnavailable, transportError(err))
}

// notReached reports whether a request failed before there was a connection to
// send it on, as every other request to that origin would.
func notReached(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}
