// Package kv writes the verbs of storage.Store once, over any engine that has
// ordered keys and serialised transactions. It owns the layout of the records
// and every verdict; engines (boltstore, memstore) only move bytes.
//
//	storage.Store ──▶ kv.Store ──▶ kv.Engine
//	   verbs           records       bytes
//
// The first byte of a key is its kind:
//
//	a <hash>                      access token, binary (one read per call)
//	c <client ID>                 client, JSON
//	f <flow ID>                   flow, JSON
//	g <grant ID>                  grant, JSON
//	i <issuer, client> <grant ID> index: the grants of a client
//	j <hash>                      value used once
//	k <hash>                      code, JSON
//	n <issuer>                    number of unused clients
//	r <hash>                      refresh token, JSON
//	r <hash> p                    its replay, beside it on the same page
//	u <issuer> <time> <client ID> index: unused clients, oldest first
//
// A value starts with its format's version and the time until which it is
// kept, so that Sweep decides without knowing records.
package kv
