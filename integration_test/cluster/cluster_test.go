//go:build integration && linux

package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/history"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/netlab"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// people is how many have a virtual key.
const people = 12

// clocks are how far those of the instances are ahead of the database's (M09).
var clocks = []time.Duration{0, 10 * time.Minute, -10 * time.Minute}

// cluster is three gateways on one database, in front of the same MCP servers.
type cluster struct {
	// URL is the public one, at which the balancer is.
	URL string
	// clients is the network in front of the gateways, database that behind.
	clients, database *netlab.Wire
	postgres          *pgtest.Server
	standby           *pgtest.Server // nil without
	instances         []*instance
	balancer          *balancer
	provider          *oauthtest.Provider
	notes             *oauthtest.MCPServer
	recorder          *harness.Recorder
	// authority is a real provider, and issues a server of its accounts.
	authority *harness.Provider
	issues    *harness.Accounts
	history   *history.Recorder

	people []string // virtual keys
	made   int      // keys that were made since
	env    []string
	config string
	dir    string
}

// options are what differs between clusters.
type options struct {
	// standby has commits wait for a second PostgreSQL.
	standby bool
	// binary is another gateway than the built one, with the machine's clock.
	binary string
	// silent lets nobody hear of notifications.
	silent bool
}

// start starts everything.
func start(t *testing.T, o options) *cluster {
	t.Helper()
	c := &cluster{
		clients: netlab.NewWire(t, 0), database: netlab.NewWire(t, 1),
		provider: oauthtest.NewProvider(t), recorder: harness.Record(t), dir: t.TempDir(),
		history: new(history.Recorder),
	}
	// Its tokens are renewed all the time, which spends a refresh token each time.
	c.provider.Members = oauthtest.Object{"expires_in": 10}
	c.notes = oauthtest.NewMCPServer(t, c.provider)
	c.authority = harness.StartProvider(t, time.Minute)
	c.issues = harness.ServeAccounts(t, c.authority, "/opaque/issues/mcp")
	public := programs.FreeAddr(t)
	c.URL = "http://" + public
	c.startPostgres(t, o.standby)
	listen := ""
	if o.silent {
		listen = " {\n\t\t\tlisten_dsn \"host=127.0.0.1 port=1\"\n\t\t}"
	}
	c.configure(t, listen)
	for i, ahead := range clocks {
		c.instances = append(c.instances, c.newInstance(t, i, ahead, o.binary))
	}
	c.balancer = balance(t, public, c.instances)
	for _, i := range c.instances {
		i.start(t)
	}
	for n, i := range c.instances {
		i.awaitReady(t)
		oauthtest.Eventually(t, "the balancer does not know that "+i.name+" is ready", c.balancer.ready[n].Load)
	}
	t.Cleanup(func() { c.mustAgree(t) })
	return c
}

// startPostgres starts the database, which proves who it is (verify-full), and
// what follows it.
func (c *cluster) startPostgres(t *testing.T, withStandby bool) {
	t.Helper()
	address := func(h *netlab.Host, low int) pgtest.Options {
		return pgtest.Options{
			Addresses: []string{h.Connect(t, c.database, low)}, Port: 5432, TLS: true,
			StartProcess: func(cmd *exec.Cmd) (err error) {
				h.Do(t, func() { err = cmd.Start() })
				return err
			},
		}
	}
	var err error
	if c.postgres, err = pgtest.StartWith(address(netlab.NewHost(t, "db1"), 21)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.postgres.Close() })
	hosts := c.database.Address(0, 21)
	if withStandby {
		if c.standby, err = c.postgres.Standby(address(netlab.NewHost(t, "db2"), 22)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.standby.Close() })
		if err := c.postgres.WaitForStandby(); err != nil {
			t.Fatal(err)
		}
		hosts += "," + c.database.Address(0, 22)
	}
	c.env = append(c.env, "DSN=postgres://postgres@"+hosts+"/postgres?sslmode=verify-full&sslrootcert="+c.postgres.CA())
}

// configure writes the configuration, with a block behind the DSN.
func (c *cluster) configure(t *testing.T, listen string) {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	c.env = append(c.env, "KEY="+base64.StdEncoding.EncodeToString(key))
	var keys strings.Builder
	for i := range people {
		c.people = append(c.people, "vk-"+rand.Text()+rand.Text())
		c.env = append(c.env, fmt.Sprintf("PERSON%d=%s", i, c.people[i]))
		fmt.Fprintf(&keys, "\t\tvirtual_key person%d {env.PERSON%d}\n", i, i)
	}
	c.config = `{
	admin unix//ADMIN
	auto_https off
	persist_config off
	shutdown_delay 1s
	grace_period 5s
	servers {
		trusted_proxies static ` + c.clients.Address(0, 1) + `/32
	}
	storage file_system DIR/caddy
	log default {
		level INFO
		format json
	}
	mcp_oauth {
		storage postgres {env.DSN}` + listen + `
		encryption_key {env.KEY}
	}
}

` + c.URL + ` {
	bind ADDRESS
	mcp_oauth {
		public_url ` + c.URL + `
		identity virtual_key
` + keys.String() + `
		insecure_allow_loopback
		refresh_reuse_grace 5m
		registration {
			rate_limit 0
		}
		server recorder /mcp ` + c.recorder.URL + `
		server notes /notes ` + c.notes.URL + oauthtest.MCPPath + ` {
			title Notes
			auth per_user_oauth {
				optional
			}
			identity_header X-MCP-User identity
		}
		server issues /issues ` + c.issues.URL + ` {
			title Issues
			auth per_user_oauth {
				optional
			}
		}
	}
}

http://ADDRESS:9180 {
	bind ADDRESS
	mcp_oauth_health
}
`
}

func (c *cluster) newInstance(t *testing.T, n int, ahead time.Duration, binary string) *instance {
	t.Helper()
	name := string(rune('a' + n))
	host := netlab.NewHost(t, name)
	i := &instance{
		name: name, host: host, cluster: c, dir: filepath.Join(c.dir, name),
		address: host.Connect(t, c.clients, 11+n),
	}
	host.Connect(t, c.database, 11+n)
	for _, url := range []string{c.provider.URL, c.notes.URL, c.recorder.URL, c.authority.URL, c.issues.URL} {
		address, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		host.Offer(t, address)
	}
	i.env = c.env
	switch {
	case binary != "":
		i.binary = binary
	case ahead == 0:
		i.binary = programs.Caddy(t)
	default:
		i.binary, i.env = programs.CaddyWithClock(t), append([]string{programs.ClockAhead(ahead)}, c.env...)
	}
	i.HTTP = i.clientFrom("")
	i.write(t)
	return i
}

// clientFrom returns a client that knows the instance by the public URL, and
// sends from an address of the test, or any.
func (i *instance) clientFrom(address string) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if address != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(address)}
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: i.transport(dialer)}
}

// mustAgree judges what clients were answered, and what the provider saw.
func (c *cluster) mustAgree(t *testing.T) {
	t.Helper()
	all := c.history.All()
	if err := history.Judge(all); err != nil {
		t.Errorf("of %d operations:\n%v", len(all), err)
	}
	if reused := c.provider.Reused(); len(reused) > 0 {
		t.Errorf("the provider got %d refresh tokens twice", len(reused))
	}
	t.Logf("%d claims, rotations and revocations are linearizable; the provider got %d refresh tokens, none of them twice", len(all), len(c.provider.Refreshes()))
}
