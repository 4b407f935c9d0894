package authz

// Limiter counts events per kind and key in bounded memory.
type Limiter struct{}

// NewLimiter returns a limiter that remembers at most size keys.
func NewLimiter(size int) *Limiter { return nil }

// Allow reports whether one more event of this kind may happen for the key, at
// perMinute on average and as many at once. perMinute <= 0 always allows.
// An IPv6 address as key counts for its /64.
func (l *Limiter) Allow(kind, key string, perMinute int) bool { return true }
