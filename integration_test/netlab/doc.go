// Package netlab gives the tests of one binary a network of their own: hosts
// that are Linux network namespaces, on wires between them that can be cut.
//
//	the test ── "clients" 10.77.0.0/16 ──┬── host a ──┬── "database" 10.78.0.0/16 ── the test
//	                                     ├── host b ──┤
//	                                     └── host c ──┴── host db
//
// Main starts the binary again in a namespace that has no way out. Everything
// that it makes is gone with that process, however that ends, and no packet can
// leave it: there is no route to anything but its hosts.
package netlab
