// Package storetest proves that an implementation keeps the storage.Store
// contract: each verb, what it takes along, who wins a race, what the sweep
// leaves. Every implementation runs the same suite:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storage.Store { return open(t) })
//	}
//
// It knows the contract only, never how records are kept.
package storetest
