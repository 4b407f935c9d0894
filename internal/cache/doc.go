// Package cache is a map of bounded size. It knows nothing of what it holds, and
// of no clock.
package cache
