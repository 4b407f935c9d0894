// Package workload is programs for which another system vouches: jobs of GitHub
// Actions, service accounts of Kubernetes, workloads of SPIFFE. A configured Trust
// says whose word is taken, for whom, and what for; Verifiers says which service
// person a token stands for.
//
//	token ─▶ which trusts are about its issuer ─▶ signature, audience, times ─▶ rules ─▶ identity
//
// It never takes a token that only its sender has signed, and keeps none: a trust
// that is gone or changed is seen by the Proof of the identities that it gave.
package workload
