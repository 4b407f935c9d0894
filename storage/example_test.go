package storage_test

import (
	"context"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// A refusal is a verdict, which the caller has to read, and never an error:
// that means that the store could not do its work.
func ExampleAuthStore() {
	ctx, now := context.Background(), time.Now()
	store := memstore.New()
	defer func() { _ = store.Close() }()

	flow := storage.Flow{
		ID: "flow-1", Issuer: "https://mcp.example.com", ExpiresAt: now.Add(15 * time.Minute),
		Identity: storage.Identity{Kind: "virtual_key", Name: "alice", Subject: "virtual_key:alice"},
	}
	if _, err := store.SaveFlow(ctx, flow, now); err != nil {
		fmt.Println(err)
		return
	}
	denial := storage.Submission{FlowID: flow.ID, Issuer: flow.Issuer, Identity: flow.Identity, Now: now} // without a grant
	for range 2 {
		verdict, err := store.SubmitFlow(ctx, denial)
		fmt.Println(verdict, err)
	}
	// Output:
	// OK <nil>
	// submitted <nil>
}
