// Package reseal seals anew, with the first key of a ring, what its other keys have
// sealed, and knows when those may leave it.
//
//	Turn ──▶ one page of storage.SealedStore ──▶ opened and sealed in one transaction
//
// It goes over the records again and again, a page at a time, however often it is
// interrupted: what has the first key's seal already costs a look and no write, so
// that nothing has to be remembered but since when the key is the first. That is a
// record too, for all processes that share a store: the one whose configuration was
// loaded last says which key seals, and those that go by an earlier one only look.
//
// It knows no configuration, and logs nothing.
package reseal
