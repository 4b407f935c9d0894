// Package event is what happens at a site: each decision is one Event, which its
// Recorder hands to every Sink, such as the log.
//
//	who decides ─▶ Recorder.Record ─▶ Event, completed ─▶ Sink, Sink, …
//	who refuses ─▶ Recorder.Refer ──▶ the same, and the reference to show
//
// It owns what kinds of events there are, how each is written in the log, and how
// many lines a cause may have. It decides nothing, and no event has a secret:
// no token, code, state, key, cookie, verifier, connect link or query.
package event
