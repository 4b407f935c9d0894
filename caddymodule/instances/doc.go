// Package instances is about the Caddy processes that work on one store: each says
// every few seconds that it is there and how it is configured, they agree on the
// encryption key that seals, and what differs between them is told to operators in
// words that name the fix.
//
//	Join ──▶ may this configuration work on the store? else an error
//	Turn ──▶ announced, agreed, compared                    every few seconds
//	Leave ─▶ gone
//
// What an instance says has nothing secret in it: names of keys, and keyed digests of
// the configuration that tell whether two are equal and nothing else. It repairs
// nothing, and decides nothing about requests.
package instances
