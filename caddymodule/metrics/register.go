package metrics

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Register makes the metrics part of what Caddy shows of a configuration. The
// registry is an experimental part of Caddy; this file is all that uses it.
//
// It is called with the app, and before with the admin API: after a reload that
// failed, Caddy goes on to show the registry of the configuration that never served,
// in which the app may not have come to be.
func (m *Metrics) Register(ctx caddy.Context) error {
	err := ctx.GetMetricsRegistry().Register(m)
	if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		return nil
	}
	return err
}
