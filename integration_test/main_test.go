// Package integration_test runs the gateway as people run it, the built binary
// with a Caddyfile, and looks at it from outside: with real MCP clients, with
// browsers, with the official conformance suite.
//
// Tests that need npm packages or Chromium carry the build tag integration;
// test.sh installs what they need and sets the tag.
package integration_test

import (
	"os"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// aliceKey and bobKey are virtual keys of the configurations below.
const (
	aliceKey = "vk-alice-0123456789abcdefghijklmnop"
	bobKey   = "vk-bob-0123456789abcdefghijklmnopqr"
)

var (
	alice = harness.Person{VirtualKey: aliceKey}
	bob   = harness.Person{VirtualKey: bobKey}
)

// keys is the environment the configurations take the virtual keys from.
var keys = []string{"ALICE_KEY=" + aliceKey, "BOB_KEY=" + bobKey}

// identities offers every kind of identity that needs no other service.
const identities = `
identity virtual_key
identity user_id
identity anonymous
virtual_key alice {env.ALICE_KEY}
virtual_key bob {env.BOB_KEY}
`

// disconnectPath is where the account page sends what disconnects an account.
const disconnectPath = "/oauth/account/disconnect"

// shortLived makes access tokens expire while a test runs.
const shortLived = `
access_token_lifetime 3s
`
