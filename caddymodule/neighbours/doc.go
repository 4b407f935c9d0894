// Package neighbours looks at what else a Caddy configuration has around the
// handler: the routes that lead to it or to others, the handlers on the way and
// the user whom one of them authenticated, the other hosts of the server, and the
// logs that record its requests. It refuses or warns of what would break sign-ins
// or give secrets away.
//
// It changes nothing of them but for one matcher, see Host. Caddy shows a module
// only its own part of the configuration; the rest is read by reflection where
// it must be, and taken for empty should a release of Caddy change it.
package neighbours
