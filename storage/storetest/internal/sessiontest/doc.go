// Package sessiontest proves that a store keeps the storage.SessionStore contract.
package sessiontest
