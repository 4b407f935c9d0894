package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// reloadMachine lets people connect and disconnect, tokens expire, and the
// configuration be replaced, in any order and with calls on their way, in a
// real Caddy. However they interleave
//   - a server only ever sees tokens that it issued, each on calls of the person
//     whose it is;
//   - a call carries an account that was connected at some time between its
//     begin and its end, or none;
//   - no refresh token is sent twice;
//   - and when all is quiet, who is connected is served.
//
// Among the replacements is one that puts each server in the place of the
// other: what was connected with one must not get to see the other.
type reloadMachine struct {
	g        *instance
	services map[string]*service // by server
	round    int
	load     int // configurations so far

	// Of the round.
	t       *rapid.T
	people  []*person
	swapped bool
	flying  sync.WaitGroup

	mu       sync.Mutex
	standing map[place]*standing
	begun    []begun       // calls, by the number they carry
	held     chan struct{} // calls wait at the servers until it is closed, if any
	wrong    []string
	served   int
}

// place is where a person may have a connection.
type place struct{ person, server string }

// standing is what is known of it. accounts[current:] may be on a call that
// begins now.
type standing struct {
	accounts []string
	current  int
	expired  int  // times since it was connected
	moved    bool // something else was in the server's place since
}

var machineServers = []string{"notion", "github"}

// begun is a call, and which of the accounts was current when it began.
type begun struct {
	*standing
	first int
}

// possible returns the accounts that were connected since.
func (b begun) possible() []string { return b.accounts[b.first:] }

func newReloadMachine(t *testing.T) *reloadMachine {
	m := &reloadMachine{services: map[string]*service{}}
	for _, name := range machineServers {
		service := newService(t)
		service.Watch = func(r *http.Request, token string) { m.watch(name, r, token) }
		m.services[name] = service
	}
	m.g = newGateway(t, alice+m.servers())
	return m
}

// servers are the lines of the servers, perhaps each in the other's place.
func (m *reloadMachine) servers() string {
	lines := "insecure_allow_loopback\n"
	for _, name := range machineServers {
		lines += fmt.Sprintf("server %s /%s %s/mcp {\nauth per_user_oauth\nidentity_header X-User user\n}\n", name, name, m.services[m.behind(name)].URL)
	}
	return lines
}

// behind returns which service is in the place of a server.
func (m *reloadMachine) behind(server string) string {
	if m.swapped {
		return machineServers[1-slices.Index(machineServers, server)]
	}
	return server
}

// watch looks at each request that reaches a server, before that does.
func (m *reloadMachine) watch(service string, r *http.Request, token string) {
	if token == "" {
		return
	}
	account := strings.SplitN(token+"--", "-", 4)[2]
	m.mu.Lock()
	if want := r.Header.Get("X-User") + "/" + service + "/"; !strings.HasPrefix(account, want) {
		m.wrong = append(m.wrong, fmt.Sprintf("%s saw %q, want one of %s", service, token, want))
	}
	call, err := strconv.Atoi(r.Header.Get("X-Request-Id"))
	if err != nil || !slices.Contains(m.begun[call].possible(), account) {
		m.wrong = append(m.wrong, fmt.Sprintf("%s saw %q on a call that began after it was ended", service, token))
	}
	held := m.held
	m.mu.Unlock()
	if held != nil {
		<-held
	}
}

// begin starts a round, with people who have never been here.
func (m *reloadMachine) begin(t *rapid.T) {
	m.t, m.swapped, m.people, m.g.pages = t, false, nil, ""
	m.round++
	m.mu.Lock()
	m.standing, m.begun = map[place]*standing{}, nil
	m.mu.Unlock()
	for i := range 3 {
		p := m.g.person(fmt.Sprintf("p%d_%d", m.round, i))
		p.address = fmt.Sprintf("10.%d.%d.%d", m.round>>8, m.round&255, i)
		m.people = append(m.people, p)
		for _, server := range machineServers {
			m.standing[place{p.name, server}] = &standing{}
		}
	}
	m.reload()
}

// reload replaces the configuration by one that differs.
func (m *reloadMachine) reload() {
	var names []string
	for _, p := range m.people {
		names = append(names, p.name)
	}
	m.load++
	text := m.g.caddyfile(people(names...) + m.servers() + fmt.Sprintf("flow_lifetime %dm\n", 15+m.load%2))
	m.g.load(strings.Replace(text, "admin off", "admin off\nservers {\ntrusted_proxies static 127.0.0.1/32\n}", 1))
}

func (m *reloadMachine) swap() {
	m.swapped = !m.swapped
	m.reload()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.standing {
		s.moved = true
	}
}

func (m *reloadMachine) anyone() (*person, string) {
	return rapid.SampledFrom(m.people).Draw(m.t, "person"), rapid.SampledFrom(machineServers).Draw(m.t, "server")
}

func (m *reloadMachine) connect() {
	p, server := m.anyone()
	m.mu.Lock()
	s := m.standing[place{p.name, server}]
	p.account = fmt.Sprintf("%s/%s/%d", p.name, m.behind(server), len(s.accounts))
	s.accounts = append(s.accounts, p.account)
	m.mu.Unlock()
	p.connect(server)
	m.mu.Lock()
	s.current, s.expired, s.moved = len(s.accounts)-1, 0, false
	m.mu.Unlock()
}

func (m *reloadMachine) disconnect() {
	p, server := m.anyone()
	m.mu.Lock()
	s := m.standing[place{p.name, server}]
	m.mu.Unlock()
	if s.current == len(s.accounts) {
		return
	}
	p.disconnect(server)
	m.mu.Lock()
	s.current = len(s.accounts)
	m.mu.Unlock()
}

// expire ends all access tokens, as a server sees it.
func (m *reloadMachine) expire() {
	m.services[rapid.SampledFrom(machineServers).Draw(m.t, "server")].provider.ExpireAll()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.standing {
		s.expired++
	}
}

// calls begins some calls and does not wait for them.
func (m *reloadMachine) calls() {
	for range rapid.IntRange(2, 12).Draw(m.t, "calls") {
		p, server := m.anyone()
		m.flying.Go(func() { m.call(p, server) })
	}
}

func (m *reloadMachine) hold() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = make(chan struct{})
	}
}

func (m *reloadMachine) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != nil {
		close(m.held)
		m.held = nil
	}
}

// settle waits for all calls.
func (m *reloadMachine) settle() {
	m.release()
	m.flying.Wait()
}

// call makes a call and judges whose account it carried. It returns that.
func (m *reloadMachine) call(p *person, server string) (account string) {
	m.mu.Lock()
	s := m.standing[place{p.name, server}]
	b, number := begun{s, s.current}, len(m.begun)
	m.begun = append(m.begun, b)
	m.mu.Unlock()
	code, answer, account := m.ask(p, server, number)
	m.mu.Lock()
	defer m.mu.Unlock()
	if account != "" {
		m.served++
	}
	linked := account == "" && strings.Contains(answer, "/oauth/connect/")
	if code != http.StatusOK || !linked && !slices.Contains(b.possible(), account) {
		m.wrong = append(m.wrong, fmt.Sprintf("%s called %s as %q, want one of %q: %d %s", p.name, server, account, b.possible(), code, answer))
	}
	return account
}

// ask sends a call and returns the answer, and whose account the server saw.
func (m *reloadMachine) ask(p *person, server string, number int) (status int, answer, account string) {
	req, _ := http.NewRequest("POST", m.g.url+"/"+server, strings.NewReader(toolCall))
	req.Header.Set("Authorization", "Bearer "+keyOf(p.name))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", strconv.Itoa(number))
	res, err := once.RoundTrip(req)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error(), ""
	}
	var echo struct{ Result struct{ Account string } }
	_ = json.Unmarshal(body, &echo)
	return res.StatusCode, string(body), echo.Result.Account
}

// check judges the round, after everything in it has ended.
func (m *reloadMachine) check() {
	m.settle()
	if m.swapped {
		m.swap()
	}
	for _, p := range m.people {
		for _, server := range machineServers {
			account := m.call(p, server)
			s := m.standing[place{p.name, server}]
			// A token that is refused again, soon after it was renewed, is given up.
			if works := s.current < len(s.accounts) && s.expired <= 1 && !s.moved; works && account == "" {
				m.wrong = append(m.wrong, fmt.Sprintf("%s is connected to %s and not served", p.name, server))
			}
		}
	}
	for name, service := range m.services {
		if reused := service.provider.Reused(); len(reused) > 0 {
			m.wrong = append(m.wrong, fmt.Sprintf("the provider of %s got twice %q, want nothing", name, reused))
		}
	}
	if wrong := m.wrong; len(wrong) > 0 {
		m.wrong = nil
		m.t.Fatal(strings.Join(wrong, "\n"))
	}
}

// No interleaving of people, servers, refreshes, disconnects and reloads puts
// one person's token on another's call.
func TestReloadMachine_E25(t *testing.T) {
	m := newReloadMachine(t)
	steps := map[string]func(){
		"connect": m.connect, "disconnect": m.disconnect, "expire": m.expire, "calls": m.calls,
		"reload": m.reload, "swap": m.swap, "hold": m.hold, "release": m.release,
	}
	// The likely ones more often. The rounds are short, as each step is real.
	names := []string{"connect", "connect", "calls", "calls", "calls", "calls", "reload", "reload", "expire", "hold", "release", "disconnect", "swap"}
	rapid.Check(t, func(t *rapid.T) {
		m.begin(t)
		defer m.settle()
		for range 2 {
			m.connect()
		}
		for _, step := range rapid.SliceOfN(rapid.SampledFrom(names), 3, 10).Draw(t, "steps") {
			steps[step]()
		}
		m.check()
	})
	if m.served < m.round {
		t.Errorf("%d calls with an account in %d rounds", m.served, m.round)
	}
	t.Logf("%d calls with an account, %d configurations, %d rounds", m.served, m.load, m.round)
}
