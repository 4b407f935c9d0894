package storetest

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Run proves the stores that open returns. Each test gets an empty one, which
// open closes in a cleanup.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, suite := range []struct {
		name  string
		tests map[string]func(*fixture)
	}{
		{"client", clientTests},
		{"unproved client", unprovedClientTests},
		{"flow", flowTests},
		{"code", codeTests},
		{"refresh", refreshTests},
		{"refresh proof", refreshProofTests},
		{"unused client", unusedClientTests},
		{"unproved grant", unprovedGrantTests},
		{"unproved session", unprovedSessionTests},
		{"access", accessTests},
		{"cascade", cascadeTests},
		{"once", onceTests},
		{"site value", siteValueTests},
		{"sweep", sweepTests},
		{"race", raceTests},
		{"connection", connectionTests},
		{"lease", leaseTests},
		{"trip", tripTests},
		{"disconnect", disconnectTests},
		{"revocation", revocationTests},
		{"upstream client", upstreamClientTests},
		{"browser session", browserSessionTests},
		{"grants of", grantsOfTests},
		{"grants", grantsTests},
		{"adopt", adoptTests},
		{"replace", replaceTests},
		{"uses up", usesUpTests},
		{"expiry", expiryTests},
		{"submit in a browser", submitBrowserTests},
		{"authentication", authenticationTests},
		{"end flow", endFlowTests},
		{"connection sweep", connectionSweepTests},
		{"connection race", connectionRaceTests},
		{"connection model", connectionModelTests},
		{"close", closeTests},
		{"model", modelTests},
	} {
		t.Run(suite.name, func(t *testing.T) {
			for name, test := range suite.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel() // a disk takes several stores at a time
					test(newFixture(t, open(t)))
				})
			}
		})
	}
}
