package authz

import (
	"context"
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// downloadsAtOnce bounds the documents that are fetched at the same time, in
// the whole process. One address alone cannot take all places, see
// fetchesPerAddress.
const downloadsAtOnce = 32

// errBusy is one more way for a document not to be had right now.
var errBusy = fmt.Errorf("%w: too many are being fetched", egress.ErrUnavailable)

// downloads bounds how much is fetched at once. Proven documents have places
// of their own: hosts that answer slowly, on purpose, hold up strangers only.
type downloads struct {
	strangers, proven chan struct{}
}

func newDownloads() *downloads {
	return &downloads{strangers: make(chan struct{}, downloadsAtOnce), proven: make(chan struct{}, downloadsAtOnce)}
}

// enter takes a place, which the caller must leave. Strangers wait for one,
// until the context ends; for a proven document it fails with errBusy.
func (d *downloads) enter(ctx context.Context, proven bool) (leave func(), err error) {
	if proven {
		select {
		case d.proven <- struct{}{}:
			return func() { <-d.proven }, nil
		default:
			return nil, errBusy
		}
	}
	select {
	case d.strangers <- struct{}{}:
		return func() { <-d.strangers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
