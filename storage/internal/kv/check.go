package kv

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// Checks are what CheckRecords needs and tells.
type Checks struct {
	Now time.Time
	// Opens reports whether a sealed value can be opened; nil if nobody knows.
	Opens func(storage.SealedValue) bool
	// Fault is told what is wrong, without anything of the record but its key.
	Fault func(what string)
	// Records counts the records by what they are.
	Records map[string]int
	// NewestUse is when a token was last issued.
	NewestUse time.Time
}

// CheckRecords reads all records: each has to be one that this version writes, in its
// place, and to be found by whatever it is to be found by; and what finds records has
// to find one. What has ended may be gone in part: a sweep removes it bit by bit.
func CheckRecords(r Reader, checks *Checks) {
	c := &checker{Reader: r, Checks: checks, senders: map[string]*sender{}, groups: map[string]int{}}
	c.Records = map[string]int{}
	for key, value := range r.Scan(nil) {
		kind, known := checkedKinds[key[0]]
		if !known {
			c.Fault(fmt.Sprintf("a record of an unknown kind: %s", hex.EncodeToString(key)))
			continue
		}
		if isChange := key[0] == kindVirtualKey && len(key) == 1+record.DigestSize; !isChange {
			c.Records[kind.name]++
		}
		keep, body, err := record.Open(value)
		if err != nil {
			c.Fault(fmt.Sprintf("%s %s cannot be read", kind.name, hex.EncodeToString(key[1:])))
			continue
		}
		if fault := kind.check(c, entry{key, body, keep.Over(c.Now), keep}); fault != "" {
			c.Fault(fmt.Sprintf("%s %s %s", kind.name, hex.EncodeToString(key[1:]), fault))
		}
	}
	c.queues()
}

type checker struct {
	Reader
	*Checks
	senders map[string]*sender // of queues
	groups  map[string]int     // how many wait in each
}

// entry is one record that is looked at.
type entry struct {
	key, body []byte
	over      bool // it may be swept
	keep      record.Keep
}

// checkedKind is how records of a kind are checked: check returns what is wrong.
type checkedKind struct {
	name  string
	check func(*checker, entry) string
}

const (
	unreadable = "cannot be read"
	misplaced  = "is not in its place"
)

var checkedKinds map[byte]checkedKind

func init() { // not in place: a check that looks at others would refer to itself
	checkedKinds = map[byte]checkedKind{
		kindAccess:          {"access token", checkAccess},
		kindBrowserSession:  {"browser session", checkSession},
		kindClient:          {"client", checkClient},
		kindDueRevocation:   {"index of due revocations", checkDueRevocation},
		kindDisconnect:      {"disconnect", checkNumber},
		kindFlow:            {"flow", checkFlow},
		kindGrant:           {"grant", checkGrant},
		kindHandle:          {"index of connections", checkHandle},
		kindClientGrant:     {"index of a client's grants", checkGrantIndex},
		kindOnce:            {"one-time value", checkOnce},
		kindCode:            {"code", checkCode},
		kindSubjectGrant:    {"index of a person's grants", checkGrantIndex},
		kindQueueSize:       {"index of queues", checkQueueSize},
		kindQueueCount:      {"length of a queue", checkQueueCount},
		kindConnection:      {"connection", checkConnection},
		kindUpstreamClient:  {"registration", checkUpstreamClient},
		kindRevocation:      {"revocation", checkRevocation},
		kindRefresh:         {"refresh token", checkRefresh},
		kindConnectState:    {"connect state", checkConnectState},
		kindPendingState:    {"index of connect states", checkPendingState},
		kindQueue:           {"place in a queue", checkPlace},
		kindSiteValue:       {"site value", checkSiteValue},
		kindSubjectSessions: {"index of browser sessions", checkSessionIndex},
		kindSubjectFlow:     {"index of a person's flows", checkNothing},
		kindBrowserFlow:     {"index of a browser's flows", checkNothing},
		kindVirtualKey:      {"virtual key", checkVirtualKey},
		kindDuePerson:       {"index of due persons", checkDuePerson},
		kindPerson:          {"person", checkPerson},
	}
}

// there reports whether there is a record with the key.
func (c *checker) there(key []byte) bool { return c.Get(key) != nil }

// missing says that a record is not found by one of the keys, unless it is over.
func (c *checker) missing(e entry, keys ...[]byte) string {
	for _, key := range keys {
		if !e.over && !c.there(key) {
			return "has no entry in the " + checkedKinds[key[0]].name
		}
	}
	return ""
}

// sealed says that something in a record does not open.
func (c *checker) sealed(rec any) (fault string) {
	if c.Opens == nil {
		return ""
	}
	sealed.Replace(rec, func(v storage.SealedValue) []byte {
		if !c.Opens(v) {
			fault = "has something sealed that no encryption key opens"
		}
		return nil
	})
	return fault
}

// readJSON reads a record into to, and says what is wrong: with its place as well.
func readJSON(e entry, to any, place func() []byte) string {
	if json.Unmarshal(e.body, to) != nil {
		return unreadable
	}
	if place != nil && !bytes.Equal(place(), e.key) {
		return misplaced
	}
	return ""
}

func checkNothing(*checker, entry) string { return "" }

func checkNumber(_ *checker, e entry) string {
	if len(e.body) != 8 {
		return unreadable
	}
	return ""
}

func checkOnce(_ *checker, e entry) string {
	if _, err := record.Time(e.body); err != nil || len(e.key) != 1+len(storage.Hash{}) {
		return unreadable
	}
	return ""
}

func checkCode(_ *checker, e entry) string { return readJSON(e, new(storage.Code), nil) }

func checkSiteValue(c *checker, e entry) string {
	var v storage.SiteValue
	if fault := readJSON(e, &v, func() []byte { return siteValueKey(v.Issuer, v.Name) }); fault != "" {
		return fault
	}
	return c.sealed(&v)
}

func checkUpstreamClient(c *checker, e entry) string {
	var u storage.UpstreamClient
	if fault := readJSON(e, &u, func() []byte { return upstreamClientKey(u.Issuer, u.Provider, u.Server) }); fault != "" {
		return fault
	}
	return c.sealed(&u)
}

func checkVirtualKey(c *checker, e entry) string {
	if len(e.key) == 1+record.DigestSize {
		return checkNumber(c, e)
	}
	var k storage.VirtualKey
	if fault := readJSON(e, &k, func() []byte { return virtualKeyKey(k.Issuer, k.Look) }); fault != "" {
		return fault
	}
	if last, err := lastVirtualKeyChange(c, k.Issuer); err != nil || last < k.Revision {
		return "is newer than the last change of its site's keys"
	}
	return ""
}

// sender is what was seen of a queue.
type sender struct {
	group    string // of the last place
	places   int
	isMember bool // all of its places are in the group
}

func checkPlace(c *checker, e entry) string {
	p, _, err := openPlace(e.key, append(record.New(e.keep, len(e.body)), e.body...))
	if err != nil {
		return unreadable
	}
	s := c.senders[string(p.sender)]
	if s == nil {
		s = &sender{group: string(p.group), isMember: true}
		c.senders[string(p.sender)] = s
	}
	s.places++
	s.isMember = s.isMember && p.group != nil && s.group == string(p.group)
	if p.group != nil {
		c.groups[string(p.group)]++
	}
	if e.keep == record.Forever && !c.there(idKey(kindClient, p.id)) { // others may be over
		return "is of a client that is not there"
	}
	return ""
}

// queues compares what waits with what is counted.
func (c *checker) queues() {
	for of, s := range c.senders {
		c.counted([]byte(of), s.places)
		if s.isMember && !c.there(sizeKey([]byte(s.group), s.places, []byte(of))) {
			c.Fault(fmt.Sprintf("the queue %x has no entry in the index of queues", of))
		}
	}
	for of, n := range c.groups {
		c.counted([]byte(of), n)
	}
}

func (c *checker) counted(of []byte, want int) {
	got := uint64(0)
	if v := c.Get(append([]byte{kindQueueCount}, of...)); v != nil {
		if _, body, err := record.Open(v); err == nil && len(body) == 8 {
			got = binary.BigEndian.Uint64(body)
		}
	}
	if got != uint64(want) {
		c.Fault(fmt.Sprintf("%d wait in the queue %x, which counts %d", want, of, got))
	}
}

// What counts a queue that nobody waits in would let nobody wait there. Places come
// behind what counts them, in the order of keys, so that this looks at them itself.
func checkQueueCount(c *checker, e entry) string {
	if fault := checkNumber(c, e); fault != "" {
		return fault
	}
	for range scanPrefix(c, queuePrefix(e.key[1:])) {
		return ""
	}
	for range scanPrefix(c, append([]byte{kindQueueSize}, e.key[1:]...)) {
		return "" // of a group
	}
	return "is of a queue that is not there"
}

func checkQueueSize(c *checker, e entry) string {
	if len(e.key) != 1+2*record.DigestSize+8 {
		return unreadable
	}
	for range scanPrefix(c, queuePrefix(e.key[1+record.DigestSize+8:])) {
		return ""
	}
	return "is of a queue that is not there"
}
