//go:build integration && linux

package cluster

import (
	"net/http"
	"testing"
	"time"
)

// while is how long a fault lasts.
func while() time.Duration { return pick(3*time.Second, 15*time.Second) }

// Whatever fails under load, nothing that was acknowledged is lost, and nothing
// is spent twice.
func TestFaults_M09_E16(t *testing.T) {
	c := start(t, options{standby: true})
	l := c.load(t, pick(4, 8))
	l.during(t, "nothing", func() { time.Sleep(while()) })
	testCutOff(t, c, l)
	testProcesses(t, c, l)
	testDatabase(t, c, l)
	l.end(t)
}

// testCutOff takes one instance off its networks.
func testCutOff(t *testing.T, c *cluster, l *load) {
	b := c.instances[1]
	own := c.person(t, 11).at(b)
	warm := own.signIn(t, "/mcp")
	l.during(t, "one instance cut off from the database, packets dropped", func() {
		b.host.Drop(t, c.database.Net)
		defer b.host.Heal(t)
		mustBeAway(t, b)
		time.Sleep(while())
	})
	l.during(t, "one instance cut off from the database, packets rejected", func() {
		b.host.Reject(t, c.database.Net)
		defer b.host.Heal(t)
		mustBeAway(t, b)
		time.Sleep(while())
	})
	if status, body := own.call(warm); status != http.StatusOK {
		t.Errorf("a token from before, at the instance that was cut off: %d %s", status, body)
	}
	l.during(t, "one instance cut off from its clients", func() {
		b.host.Drop(t, c.clients.Net)
		defer b.host.Heal(t)
		time.Sleep(while())
	})
}

// mustBeAway waits until the instance says that it is not ready, and signs
// nobody in: it never does without the database.
func mustBeAway(t *testing.T, i *instance) {
	t.Helper()
	began := time.Now()
	for i.ready() {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s is ready without its database", i.name)
		}
		time.Sleep(50 * time.Millisecond)
	}
	noticed := time.Since(began)
	began = time.Now()
	resp, err := i.HTTP.Post(i.cluster.URL+"/api/oauth/per-user/register", "application/json", registration())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a registration without the database: %s", resp.Status)
	}
	t.Logf("%s was not ready after %v; a registration was refused in %v", i.name, noticed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// testProcesses ends gateways.
func testProcesses(t *testing.T, c *cluster, l *load) {
	for range pick(1, 10) {
		l.during(t, "one instance killed (SIGKILL) and started again", func() {
			c.instances[2].Kill()
			time.Sleep(while() / 3)
			c.instances[2].start(t)
		})
	}
	l.during(t, "all instances replaced, one after another", func() {
		for _, i := range c.instances {
			i.stop(t)
			i.start(t)
			i.awaitReady(t)
			time.Sleep(time.Second) // until the balancer knows
		}
	})
}

// testDatabase ends, stops and replaces PostgreSQL.
func testDatabase(t *testing.T, c *cluster, l *load) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l.during(t, "PostgreSQL restarted", func() {
		must(c.postgres.Stop())
		must(c.postgres.Run())
	})
	l.during(t, "PostgreSQL stopped", func() {
		must(c.postgres.Stop())
		time.Sleep(while())
		must(c.postgres.Run())
	})
	l.during(t, "PostgreSQL paused (SIGSTOP)", func() {
		must(c.postgres.Pause())
		time.Sleep(while())
		must(c.postgres.Continue())
	})
	l.during(t, "PostgreSQL killed, and its synchronous standby promoted", func() {
		must(c.postgres.Kill())
		must(c.standby.Promote())
	})
}
