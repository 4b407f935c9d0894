package authz

import "container/list"

// lru is a map of bounded size that forgets what was used least recently. It
// is not safe for concurrent use.
type lru[K comparable, V any] struct {
	size   int
	recent *list.List // of lruEntry[K, V], the most recently used first
	byKey  map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int) *lru[K, V] {
	return &lru[K, V]{size: max(1, size), recent: list.New(), byKey: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (V, bool) {
	e, ok := l.byKey[key]
	if !ok {
		var none V
		return none, false
	}
	l.recent.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

func (l *lru[K, V]) put(key K, value V) {
	l.remove(key)
	if l.recent.Len() >= l.size {
		oldest := l.recent.Remove(l.recent.Back())
		delete(l.byKey, oldest.(lruEntry[K, V]).key)
	}
	l.byKey[key] = l.recent.PushFront(lruEntry[K, V]{key, value})
}

func (l *lru[K, V]) remove(key K) {
	if e, ok := l.byKey[key]; ok {
		l.recent.Remove(e)
		delete(l.byKey, key)
	}
}
