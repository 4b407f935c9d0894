// Package keytest proves that a store keeps the storage.VirtualKeyStore contract.
package keytest
