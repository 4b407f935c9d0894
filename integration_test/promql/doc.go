// Package promql checks the dashboard and the alerts of examples/monitoring with
// Prometheus itself. It is a module of its own: GOWORK=off go test -C integration_test/promql .
package promql
