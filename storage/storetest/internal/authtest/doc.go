// Package authtest proves that a store keeps the storage.AuthStore contract.
package authtest
