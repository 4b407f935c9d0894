// Package health answers probes: of containers, which ask whether to restart the
// process, and of load balancers, which ask whether to send it requests.
//
// It is a handler of its own, so that it can be where probes come: on a port of its
// own, over http, under whatever host. It tells strangers nothing of the reason; that
// is in the log and on the admin endpoint.
package health
