// Package connectiontest proves that a store keeps the storage.ConnectionStore contract.
package connectiontest
