package upstream

import "context"

// ConnectHeaders stores the keys that a person pasted, by header name, after
// the server has taken them.
func (b *Broker) ConnectHeaders(ctx context.Context, owner, server string, values map[string]string) error {
	return problem(UnknownServer, nil)
}
