// Package adminclient asks the admin API of a Caddy that runs, where Caddy's own
// commands look for it, and puts into words why it does not answer. It knows no
// route of it.
package adminclient
