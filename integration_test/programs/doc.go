// Package programs builds the programs of whole-system tests, each once, and runs them:
// the gateway, also with another clock or with a fault, those of this module, those in
// other Go modules, and scripts of the Node that is pinned. It watches what they print,
// and finds the ports that they listen at.
//
// It ends only processes it started, and knows nothing of what they do.
package programs
