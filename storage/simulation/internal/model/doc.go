// Package model is the contract of storage.Store once more, as plainly as it can be
// said: a state is maps that are copied, without index or transaction. It makes up
// calls, notes what was answered, and judges whether any order of the calls explains
// the answers. It runs nothing.
package model
