// Package sharedtest proves that a store keeps the contracts for stores that several
// processes share, those of them that it implements.
package sharedtest
