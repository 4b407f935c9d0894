package identity

import (
	"context"
	"testing"
)

func TestFromContext(t *testing.T) {
	if _, ok := FromContext(context.Background()); ok {
		t.Error("an identity without a user")
	}
	if _, ok := FromContext(WithUser(context.Background(), "")); ok {
		t.Error("an identity for an empty user")
	}
	id, ok := FromContext(WithUser(context.Background(), "alice"))
	if !ok || id.Subject != "caddy:alice" || id.Name != "alice" || id.Kind != "caddy" {
		t.Errorf("identity = %+v, %v", id, ok)
	}
}
