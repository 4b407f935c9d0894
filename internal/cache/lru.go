package cache

import "container/list"

// LRU is a map of bounded size that forgets what was used least recently. It
// is not safe for concurrent use.
type LRU[K comparable, V any] struct {
	size   int
	recent *list.List // of entry[K, V], the most recently used first
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// NewLRU returns a map of at most size entries.
func NewLRU[K comparable, V any](size int) *LRU[K, V] {
	return &LRU[K, V]{size: max(1, size), recent: list.New(), byKey: make(map[K]*list.Element)}
}

// Get returns the value of a key, which is thereby the one used last.
func (l *LRU[K, V]) Get(key K) (V, bool) {
	e, ok := l.byKey[key]
	if !ok {
		var none V
		return none, false
	}
	l.recent.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// Peek returns the value of a key, and counts as no use. Several may do so at once.
func (l *LRU[K, V]) Peek(key K) (value V, ok bool) {
	if e, found := l.byKey[key]; found {
		return e.Value.(entry[K, V]).value, true
	}
	return value, false
}

// Oldest returns what was used least recently.
func (l *LRU[K, V]) Oldest() (key K, value V, ok bool) {
	if e := l.recent.Back(); e != nil {
		oldest := e.Value.(entry[K, V])
		return oldest.key, oldest.value, true
	}
	return key, value, false
}

// Put sets the value of a key, in the place of what was used least recently when
// the map is full.
func (l *LRU[K, V]) Put(key K, value V) {
	l.Remove(key)
	if l.recent.Len() >= l.size {
		oldest, _, _ := l.Oldest()
		l.Remove(oldest)
	}
	l.byKey[key] = l.recent.PushFront(entry[K, V]{key, value})
}

// Remove forgets a key.
func (l *LRU[K, V]) Remove(key K) {
	if e, ok := l.byKey[key]; ok {
		l.recent.Remove(e)
		delete(l.byKey, key)
	}
}

// Len returns how many entries there are.
func (l *LRU[K, V]) Len() int { return len(l.byKey) }
