// Package storage states what the authorization server and the gate need to
// remember, and how: the records, and five contracts over them.
//
//	AuthStore        clients, flows, grants, codes, tokens
//	ConnectionStore  connected accounts, what we are at providers, what is to be revoked there
//	SessionStore     who is signed in at the pages
//	PersonStore      what identity providers say of people, and what renews that
//	VirtualKeyStore  virtual keys that were made while the site ran
//	SealedStore      what is sealed in any of them, for who changes the key
//	Store            all of them, for who opens and closes it
//	Opener           which store a configuration means, and how to open it
//	Watcher          what other processes changed, of a store that several share
//
// It owns no policy. What it does own is every decision that two requests can
// race for (who redeems a code, who rotates a refresh token, who submits a
// flow, who refreshes a connection). Each of those is one verb that runs in one
// transaction and returns a Verdict; a refusal that must be remembered, such as
// a replay that revokes the grant, is committed and reported as a verdict,
// never as an error. An error means the store could not do its work: the caller
// answers 503.
//
//	authorize ──▶ (nothing stored: the request travels sealed)
//	identity  ──▶ SaveFlow
//	submit    ──▶ SubmitFlow        Flow ─▶ Grant + Code
//	token     ──▶ ClaimCode         Code ─▶ AccessToken + RefreshToken
//	          ──▶ RotateRefreshToken        AccessToken + RefreshToken, again
//	call      ──▶ AccessToken       one read, behind a cache; a second one of the
//	                                Person, where the identity has one
//	revoke    ──▶ RevokeGrant
//	choose    ──▶ ChangeGrant       Grant and AccessTokens, of which less may be used
//	return    ──▶ LastGrant         what the person chose for the client the last time
//
//	sign in   ──▶ SavePerson        Claims, read with everything the person has; with it,
//	                                their flow or browser session begins
//	renew     ──▶ DuePersons, UpdatePerson              by one caller at a time
//	leave     ──▶ EndPerson         and with the Person all that they have
//
//	connect   ──▶ SaveConnectState, ClaimConnectState   once, in the same browser
//	          ──▶ ReplaceConnection the flow's; SubmitFlow gives it to the person
//	refresh   ──▶ LeaseConnection, PutConnection          by one caller at a time
//	end       ──▶ Disconnect        Connection ─▶ ProviderRevocation
//	          ──▶ Sweep             the same for a flow's that nobody finished
//
//	list      ──▶ Clients, Grants, GrantsOfClient, Connections, Subjects
//	                                page by page, for operators
//
// No record holds a usable bearer secret: codes, tokens and client secrets are
// kept as SHA-256 hashes; what must be read back is sealed by package seal
// before it arrives here.
//
// # Implementations
//
// There are boltstore (the default, one process), pgstore (a PostgreSQL database,
// any number of processes) and memstore (tests, throw-away setups). Package
// storetest and package simulation prove any implementation; package engine makes
// one of ordered keys.
//
// One store keeps all contracts: SubmitFlow changes a flow, its grant,
// connections and a browser session at once, and ReplaceConnection asks whether a
// flow or session is still there. What a store must promise besides what each verb
// says, and how to write and prove one, is in docs/stores.md.
package storage
