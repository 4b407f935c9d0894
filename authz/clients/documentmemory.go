package clients

import "github.com/mcpoauth/caddy-mcp-oauth/internal/cache"

// documentMemory remembers documents by name, in bounded memory: those of clients
// that people let in apart from the others. Strangers can publish as many good
// ones as they like, and push out nothing but what strangers published.
type documentMemory[T any] struct {
	inUse, others *cache.LRU[documentKey, cachedDocument[T]]
}

// newDocumentMemory returns a memory of at most size documents of each sort.
func newDocumentMemory[T any](size int) *documentMemory[T] {
	return &documentMemory[T]{inUse: cache.NewLRU[documentKey, cachedDocument[T]](size), others: cache.NewLRU[documentKey, cachedDocument[T]](size)}
}

func (m *documentMemory[T]) get(key documentKey) (cachedDocument[T], bool) {
	if d, ok := m.inUse.Get(key); ok {
		return d, true
	}
	return m.others.Get(key)
}

func (m *documentMemory[T]) put(key documentKey, d cachedDocument[T]) {
	if _, used := m.inUse.Get(key); used {
		m.inUse.Put(key, d)
		return
	}
	m.others.Put(key, d)
}

// use notes that a document is of a client that somebody let in.
func (m *documentMemory[T]) use(key documentKey) {
	if d, ok := m.others.Get(key); ok {
		m.others.Remove(key)
		m.inUse.Put(key, d)
	}
}
