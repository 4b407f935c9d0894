// Package changes is how the processes that share a schema hear of what each other
// changed: storage.Watcher for pgstore.
//
//	verb ─▶ Queue ─▶ table changes, in the verb's transaction ─▶ pg_notify
//	                        │                                        │
//	Watch.Next ◀── read from the last number, every 5 s, and ◀── LISTEN, on a
//	                                    as soon as ◀───────────  connection of its own
//
// The table is what counts. A notification says nothing but that there is something
// to read, so one that is lost, as all are behind a pooler, costs a few seconds.
// Numbers become visible out of order: one that is missing is looked for until its
// transaction cannot be at work any more.
//
// It knows no verb, and not what a change means.
package changes
