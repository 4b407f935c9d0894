// Package storage states what the authorization server and the gate need to
// remember, and how: the records, and the Store contract over them.
//
// It owns no policy. What it does own is every decision that two requests can
// race for (who redeems a code, who rotates a refresh token, who submits a
// flow, who refreshes a connection). Each of those is one verb that runs in one transaction and returns a
// Verdict; a refusal that must be remembered, such as a replay that revokes
// the grant, is committed and reported as a verdict, never as an error.
// An error means the store could not do its work: the caller answers 503.
//
//	authorize ──▶ (nothing stored: the request travels sealed)
//	identity  ──▶ SaveFlow
//	submit    ──▶ SubmitFlow        Flow ─▶ Grant + Code
//	token     ──▶ ClaimCode         Code ─▶ AccessToken + RefreshToken
//	          ──▶ RotateRefreshToken        AccessToken + RefreshToken, again
//	call      ──▶ AccessToken       one read, behind a cache
//	revoke    ──▶ RevokeGrant
//
//	connect   ──▶ SaveConnectState, ClaimConnectState   once, in the same browser
//	          ──▶ PutConnection     the flow's; SubmitFlow gives it to the person
//	refresh   ──▶ LeaseConnection, PutConnection          by one caller at a time
//	end       ──▶ Disconnect        Connection ─▶ ProviderRevocation
//	          ──▶ Sweep             the same for a flow's that nobody finished
//
// No record holds a usable bearer secret: codes, tokens and client secrets are
// kept as SHA-256 hashes; what must be read back is sealed by package seal
// before it arrives here.
//
// Implementations: boltstore (the default, one process) and memstore (tests,
// throw-away setups). Package storetest proves any implementation.
package storage
