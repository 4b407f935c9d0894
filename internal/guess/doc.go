// Package guess tells secrets that somebody made up from random ones.
//
// It sees only what looks made up: that a secret is random cannot be seen.
package guess
