// Package cache has maps of bounded size: LRU for one user at a time, Cache for
// many readers in front of a store. It knows nothing of what it holds, and of no
// clock.
package cache
