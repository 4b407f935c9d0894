// Package ratelimit counts events by what they are about, such as an address, in
// bounded memory. It owns the blocks of addresses that count as one sender, and
// never decides what is counted.
package ratelimit
