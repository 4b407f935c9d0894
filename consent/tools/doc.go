// Package tools is what a person can decide about the tools of servers: which of them
// a client may use, and for how long.
//
//	server ◀─ Asker: what it says to this person
//	catalog ─▶ Source.Offers ─▶ Offer ─▶ View: what the page shows
//	form, or what was chosen before ─▶ Selection ─▶ Offer.Choice: what the grant has
//
// A tool goes by a tick, a short text that only the same page knows, instead of by its
// name: what a server calls its tools need not come through a form as it went out.
//
// It decides about no call and stores nothing. What a server says of its tools is its
// own word, and shown as such.
package tools
