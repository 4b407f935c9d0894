// Package flows is the pending authorization requests: from the checked request
// of a client to the answer of a person, which ends it once, with a grant or
// without.
//
//	Begin ─▶ sealed flow + cookie ─▶ consent pages ─▶ Open ─▶ Identify ─▶ Approve | Deny ─▶ redirect to the client
//
// Nothing is stored before a person has said who they are. The package never
// renders a page, and never checks what a client sent.
package flows
