// Package propagation applies what other instances on the same store changed to what
// this process remembers, so that nothing that ended elsewhere goes on here.
//
//	storage.Watcher ─▶ Process.Follow ─▶ caches of tokens and accounts, virtual keys,
//	                                     signing keys, what servers offer, then the open
//	                                     streams of whom it concerns
//	links that were used, step-ups, ways to providers ─▶ Process.Talk ─▶ Follow of the others
//
// It decides nothing: what is dropped is read again, and judged as ever. It knows of
// no configuration but by the functions that it is given.
package propagation
