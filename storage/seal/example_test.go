package seal_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// A new key goes in front of the old one, which is needed for as long as
// something is not Current.
func ExampleKeyring() {
	older, newer := bytes.Repeat([]byte{1}, seal.KeySize), bytes.Repeat([]byte{2}, seal.KeySize)
	before, err := seal.NewKeyring(older)
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed := before.Seal([]byte("token of alice"), "connection", "alice")

	after, err := seal.NewKeyring(newer, older)
	if err != nil {
		fmt.Println(err)
		return
	}
	plain, err := after.Open(sealed, "connection", "alice")
	fmt.Printf("%s, %v, sealed by the first key: %t\n", plain, err, after.Current(sealed))

	_, err = after.Open(sealed, "connection", "bob")
	fmt.Println("in another place:", errors.Is(err, seal.ErrOpen))
	// Output:
	// token of alice, <nil>, sealed by the first key: false
	// in another place: true
}
