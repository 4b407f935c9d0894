// Package kv writes the verbs of storage.Store once, over any engine that has
// ordered keys and serialised transactions. It owns the keys of the records
// and every verdict; engines (boltstore, memstore) only move bytes.
//
//	storage.Store ──▶ kv.Store ──▶ kv.Engine
//	   verbs           records       bytes
//
// The store is one type for each contract. What a verb does within a transaction
// are functions, for SubmitFlow and ReplaceConnection reach over three of them.
//
// The first byte of a key is its kind:
//
//	a <hash>                      access token, binary (one read per call)
//	b <hash>                      browser session, JSON
//	c <client ID>                 client, JSON
//	d <issuer> <time> <ID>        index: revocations for providers, by when they are due
//	e <issuer> <owner> <server>   the last disconnect, a number
//	f <flow ID>                   flow, JSON
//	g <grant ID>                  grant, binary (read and written by each refresh)
//	h <issuer, ID>                key of the connection that has the ID
//	i <issuer, client> <grant ID> index: the grants of a client
//	j <hash>                      value used once
//	k <hash>                      code, JSON
//	m <issuer, subject> <grant ID> index: the grants of a subject, with when and for which client each was made
//	l <group> <size> <queue>      index: the queues of a group, largest first
//	n <queue>                     number of records in a queue or group
//	o <issuer> <owner> <server>   connection, JSON
//	p <issuer> <provider, server> upstream client, JSON
//	q <ID>                        revocation for a provider, JSON
//	r <hash>                      refresh token, binary
//	r <hash> p                    its replay, beside it on the same page
//	s <hash>                      connect state, JSON
//	t <issuer> <owner> <server> <hash> index: the pending connect states
//	u <queue> <time> <ID>         index: clients and grants that nobody vouched for, oldest first
//	v <issuer, name>              value that a site keeps, JSON
//	w <issuer, subject> <hash>    index: the browser sessions of a subject
//	x <issuer, subject> <flow ID> index: the flows of a subject
//	y <cookie> <flow ID>          index: the flow of a cookie
//	z <issuer>                    number of the last change of a virtual key
//	z <issuer> <look>             virtual key, JSON
//	D <issuer> <time> <subject>   index: persons, by when they are due
//	P <issuer> <subject>          person, JSON
//
// What is behind a key is written by package record. How long it is kept stands
// before each, so that Sweep decides without knowing records.
package kv
