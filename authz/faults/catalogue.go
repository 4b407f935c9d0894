package faults

import "slices"

// All are the known faults, the more particular first: where several show, the
// first is the answer. Each has a test that sets it up.
var All = slices.Concat(clientFaults, tokenFaults, connectFaults, providerFaults, personFaults, siteFaults)

// began are the kinds of steps of which one follows once a client goes on.
var began = []string{
	"client.registered", "client.registration_refused", "client_document.unreachable",
	"sign_in.started", "sign_in.refused", "token.issued", "token.refused", "token.refreshed", "call.passed",
}
