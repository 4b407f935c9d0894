package model

// focus is what most of a schedule is about: everything at once seldom meets in one
// record.
type focus int

const (
	nothing focus = iota
	tokens
	flows
	accounts
	people
	values
	focuses
)

// choice is an operation, how often it is chosen, and what it needs.
type choice struct {
	focus  focus
	weight int
	make   func(*World) *Operation
	needs  func(*World) bool
}

func hasClient(w *World) bool  { return len(w.clients) > 0 }
func hasFlow(w *World) bool    { return len(w.flows) > 0 && len(w.clients) > 0 }
func hasGrant(w *World) bool   { return len(w.grants) > 0 }
func hasSession(w *World) bool { return w.current() != "" }
func always(*World) bool       { return true }

// choices are all verbs of a store but Close.
var choices = []choice{
	{tokens, 4, (*World).createClient, always},
	{flows, 2, (*World).readClient, hasClient},
	{flows, 1, (*World).listClients, always},
	{tokens, 1, (*World).updateClient, hasClient},
	{tokens, 1, (*World).deleteClient, hasClient},

	{tokens, 8, (*World).saveFlow, always},
	{flows, 2, (*World).readFlow, hasFlow},
	{tokens, 12, (*World).submitFlow, hasFlow},
	{flows, 1, (*World).endSubjectFlows, always},

	{tokens, 3, issueGrant, hasClient},
	{tokens, 12, (*World).claimCode, hasGrant},
	{tokens, 1, (*World).readCode, hasGrant},
	{tokens, 16, (*World).rotate, hasGrant},
	{tokens, 2, (*World).readRefreshToken, hasGrant},
	{tokens, 8, (*World).readAccessToken, hasGrant},
	{tokens, 1, (*World).revokeAccessToken, hasGrant},
	{tokens, 2, (*World).readGrant, hasGrant},
	{tokens, 2, readLastGrant, hasGrant},
	{tokens, 2, (*World).revokeGrant, hasGrant},
	{tokens, 2, changeGrant, hasGrant},
	{tokens, 2, (*World).listGrants, always},

	{flows, 2, (*World).createSession, always},
	{flows, 2, (*World).readSession, hasSession},
	{flows, 1, (*World).listSessions, always},
	{flows, 1, (*World).deleteSession, hasSession},
	{flows, 1, (*World).deleteSessions, always},

	{accounts, 4, (*World).readConnection, always},
	{accounts, 1, (*World).readConnectionByID, always},
	{accounts, 1, (*World).listConnections, always},
	{accounts, 8, (*World).replaceConnection, always},
	{accounts, 8, (*World).lease, always},
	{accounts, 3, (*World).disconnect, always},
	{accounts, 3, (*World).lastDisconnect, always},

	{accounts, 2, (*World).saveConnectState, always},
	{accounts, 3, claimConnectState, func(w *World) bool { return len(w.pending) > 0 }},
	{values, 1, (*World).readUpstreamClient, always},
	{values, 1, (*World).listUpstreamClients, always},
	{values, 2, (*World).putUpstreamClient, always},
	{values, 1, (*World).deleteUpstreamClient, always},
	{accounts, 1, (*World).queueRevocation, always},
	{accounts, 2, (*World).dueRevocations, always},
	{accounts, 1, (*World).endRevocation, func(w *World) bool { return len(w.revocations) > 0 }},

	{values, 2, (*World).useOnce, always},
	{values, 1, (*World).readUsed, always},
	{values, 1, (*World).putSiteValue, always},
	{values, 2, (*World).replaceSiteValue, always},
	{values, 1, (*World).readSiteValue, always},

	{values, 2, (*World).putVirtualKey, always},
	{values, 1, (*World).deleteVirtualKey, always},
	{values, 1, (*World).listVirtualKeys, always},
	{values, 1, (*World).lastVirtualKeyChange, always},

	{people, 4, (*World).savePerson, always},
	{people, 2, (*World).updatePerson, always},
	{people, 2, (*World).readPerson, always},
	{people, 1, (*World).duePersons, always},
	{people, 2, (*World).endPerson, always},
	{people, 1, (*World).listSubjects, always},

	{values, 1, (*World).replaceSealed, always},
	{nothing, 4, (*World).sweep, always},
	{nothing, 1, (*World).check, always},
	{nothing, 1, (*World).empty, always},
	{nothing, 1, (*World).usage, always},
}

// often is how often an operation is chosen in a schedule of this focus. What
// brings people in belongs to all of them but the last.
func (c choice) often(f focus) int {
	leads := f == flows && (c.focus == tokens) || f == people && c.focus == tokens
	switch {
	case c.focus == f:
		return 8 * c.weight
	case leads:
		return 2 * c.weight
	}
	return c.weight
}

// Next makes up the next operation.
func (w *World) Next() *Operation {
	op := made(w)
	op.areas = areas[op.Verb]
	return op
}

// made is what is asked because of what was before, or whatever comes.
func made(w *World) *Operation {
	if ask := w.ask; ask != nil {
		w.ask = nil
		return ask()
	}
	sum := 0
	for _, c := range choices {
		sum += c.often(w.focus)
	}
	for {
		n := w.rng.IntN(sum)
		for _, c := range choices {
			if n -= c.often(w.focus); n < 0 {
				if c.needs(w) {
					return c.make(w)
				}
				break
			}
		}
	}
}
