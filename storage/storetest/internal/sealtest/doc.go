// Package sealtest proves a storage.SealedStore.
package sealtest
