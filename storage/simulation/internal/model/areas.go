package model

import (
	"fmt"
	"hash/maphash"
	"maps"
	"strings"
)

// area is a part of a state. Calls that have no part in common can be told apart
// from one another: their order does not matter.
type area int

const (
	clientArea area = 1 << iota
	grantArea
	flowArea
	sessionArea
	connectionArea
	personArea
	usedArea
	valueArea
	upstreamArea
	keyArea
	rateArea
	instanceArea
	allAreas = 1<<iota - 1
	numAreas = iota - 1
)

// digest stands for what is in an area.
type digest uint64

var seed = maphash.MakeSeed()

// digestOf is the same for maps with the same entries.
func digestOf[K, V comparable](m map[K]V) (sum digest) {
	type entry struct {
		k K
		v V
	}
	for k, v := range m {
		sum += digest(maphash.Comparable(seed, entry{k, v}))
	}
	return sum
}

// lastChange is that of virtual keys.
type lastChange struct {
	change number
	exists bool
}

// digest is the same for two states of which nothing can tell the areas apart. It is
// never zero.
func (s *state) digest(a area) digest {
	// Maps of different types have different entries.
	switch a {
	case clientArea:
		return digestOf(s.clients) | 1
	case grantArea:
		return (digestOf(s.grants) + digestOf(s.codes) + digestOf(s.refresh) + digestOf(s.access)) | 1
	case flowArea:
		return digestOf(s.flows) | 1
	case sessionArea:
		return digestOf(s.sessions) | 1
	case connectionArea:
		return (digestOf(s.connections) + digestOf(s.disconnects) + digestOf(s.pending) + digestOf(s.revocations)) | 1
	case personArea:
		return digest(maphash.String(seed, fmt.Sprint(s.persons))) | 1
	case usedArea:
		return digestOf(s.used) | 1
	case valueArea:
		return digestOf(s.values) | 1
	case upstreamArea:
		return digestOf(s.upstream) | 1
	case keyArea:
		return (digestOf(s.keys) + digest(maphash.Comparable(seed, lastChange{s.keyChange, s.keyChanges}))) | 1
	case rateArea:
		return digestOf(s.rates) | 1
	case instanceArea:
		return digestOf(s.instances) | 1
	}
	panic("model: no such area")
}

// key is the same for two states that nothing can tell apart.
func (s *state) key() [numAreas]digest {
	for i, d := range s.digests {
		if d == 0 {
			s.digests[i] = s.digest(1 << i)
		}
	}
	return s.digests
}

// changes says that areas may be changed.
func (s *state) changes(a area) {
	for i := range s.digests {
		if a&(1<<i) != 0 {
			s.digests[i] = 0
		}
	}
}

// clone returns a copy of which the areas may be changed.
func (s *state) clone(a area) *state {
	c := *s
	c.changes(a)
	if a&clientArea != 0 {
		c.clients = maps.Clone(s.clients)
	}
	if a&grantArea != 0 {
		c.grants, c.codes, c.refresh, c.access = maps.Clone(s.grants), maps.Clone(s.codes), maps.Clone(s.refresh), maps.Clone(s.access)
	}
	if a&flowArea != 0 {
		c.flows = maps.Clone(s.flows)
	}
	if a&sessionArea != 0 {
		c.sessions = maps.Clone(s.sessions)
	}
	if a&connectionArea != 0 {
		c.connections, c.disconnects = maps.Clone(s.connections), maps.Clone(s.disconnects)
		c.pending, c.revocations = maps.Clone(s.pending), maps.Clone(s.revocations)
	}
	if a&personArea != 0 {
		c.persons = maps.Clone(s.persons)
	}
	if a&usedArea != 0 {
		c.used = maps.Clone(s.used)
	}
	if a&valueArea != 0 {
		c.values = maps.Clone(s.values)
	}
	if a&upstreamArea != 0 {
		c.upstream = maps.Clone(s.upstream)
	}
	if a&keyArea != 0 {
		c.keys = maps.Clone(s.keys)
	}
	if a&rateArea != 0 {
		c.rates = maps.Clone(s.rates)
	}
	if a&instanceArea != 0 {
		c.instances = maps.Clone(s.instances)
	}
	return &c
}

// areas are what each verb reads and changes.
var areas = func() map[string]area {
	const ofFlows = flowArea | sessionArea | personArea | connectionArea
	all := map[string]area{"Empty": allAreas, "ReplaceSealed": allAreas, "Check": 0}
	for verbs, a := range map[string]area{
		"CreateClient Client Clients":             clientArea,
		"UpdateClient DeleteClient":               clientArea | grantArea,
		"SaveFlow Flow EndFlows":                  ofFlows,
		"SubmitFlow":                              clientArea | grantArea | ofFlows,
		"IssueGrant ClaimCode RotateRefreshToken": grantArea | personArea | usedArea,
		"Code RefreshToken AccessToken RevokeAccessToken Grant RevokeGrant ChangeGrant Grants GrantsOf GrantsOfClient LastGrant": grantArea | personArea,
		"CreateBrowserSession DeleteBrowserSession":                       ofFlows,
		"BrowserSession BrowserSessionsOf DeleteBrowserSessions":          sessionArea | personArea,
		"PutConnection ReplaceConnection":                                 ofFlows | usedArea,
		"Connection ConnectionByID ConnectionsOf Connections":             connectionArea,
		"LeaseConnection Disconnect LastDisconnect":                       connectionArea,
		"SaveConnectState ClaimConnectState":                              connectionArea,
		"DueRevocations QueueRevocation EndRevocation Sweep Usage":        connectionArea,
		"UpstreamClient UpstreamClients":                                  upstreamArea,
		"PutUpstreamClient DeleteUpstreamClient":                          upstreamArea,
		"UseOnce Used":                                                    usedArea,
		"PutSiteValue ReplaceSiteValue SiteValue":                         valueArea,
		"PutVirtualKey DeleteVirtualKey VirtualKeys LastVirtualKeyChange": keyArea,
		"SavePerson":                     ofFlows | valueArea,
		"UpdatePerson Person DuePersons": personArea,
		"TakeRates":                      rateArea, "AnnounceInstance LeaveInstance": instanceArea,
		"EndPerson Subjects": ofFlows | grantArea,
	} {
		for _, verb := range strings.Fields(verbs) {
			all[verb] = a
		}
	}
	return all
}()
