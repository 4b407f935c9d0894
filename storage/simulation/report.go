package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Report tells what schedules came to.
type Report struct {
	Schedules, Calls int
	// Unjudged schedules left too much open to be judged to their end.
	Unjudged int
	// Answers counts how often a verb answered in which way. What nobody saw counts
	// as "unseen".
	Answers map[string]map[string]int
	// Hash is the same for two runs of one schedule in which the same happened.
	Hash string
}

const unseen = "unseen"

// watched counts what a watcher was told of, and how often what it remembered was
// still right.
const watched = "(watch)"

func (r *Report) add(one Report) {
	r.Schedules += one.Schedules
	r.Calls += one.Calls
	r.Unjudged += one.Unjudged
	for verb, kinds := range one.Answers {
		if r.Answers[verb] == nil {
			r.Answers[verb] = map[string]int{}
		}
		for kind, n := range kinds {
			r.Answers[verb][kind] += n
		}
	}
}

// String is a table of what was answered, and how often.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d calls, %d schedules too open to be judged to their end\n", r.Schedules, r.Calls, r.Unjudged)
	for _, verb := range slices.Sorted(maps.Keys(r.Answers)) {
		fmt.Fprintf(&b, "%-24s", verb)
		for _, kind := range slices.Sorted(maps.Keys(r.Answers[verb])) {
			fmt.Fprintf(&b, " %s %d,", kind, r.Answers[verb][kind])
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// expected is what each verb answers in enough schedules, one way or another. Unknown
// and expired are one: which it is depends on the sweep.
var expected = map[string]string{
	"CreateClient": "done", "Client": "done not-found", "UpdateClient": "done not-found", "Clients": "done", "DeleteClient": "done not-found",
	"SaveFlow": "OK submitted signed-out", "Flow": "done not-found", "EndFlows": "done",
	"SubmitFlow": "OK submitted unknown changed signed-out",
	"Code":       "done not-found", "ClaimCode": "OK unknown wrong-client proof-failed replayed revoked already-used",
	"RefreshToken": "done not-found", "RotateRefreshToken": "OK repeated replayed unknown wrong-client revoked already-used",
	"IssueGrant":  "OK already-used",
	"AccessToken": "done not-found", "RevokeAccessToken": "true false",
	"Grant": "done not-found", "Grants": "done", "GrantsOfClient": "done", "GrantsOf": "done", "LastGrant": "done not-found", "RevokeGrant": "done",
	"ChangeGrant": "done not-found",
	"UseOnce":     "true false", "Used": "true false", "PutSiteValue": "done", "ReplaceSiteValue": "OK changed", "SiteValue": "done not-found",

	"Connection": "done not-found", "ConnectionByID": "done not-found", "ConnectionsOf": "done", "Connections": "done",
	"PutConnection": "OK changed", "ReplaceConnection": "OK already-used signed-out disconnected-since changed",
	"LeaseConnection": "OK lease-held lease-expired changed unknown", "Disconnect": "OK unknown changed", "LastDisconnect": "done",
	"SaveConnectState": "done", "ClaimConnectState": "OK wrong-browser unknown",
	"UpstreamClient": "done not-found", "UpstreamClients": "done", "PutUpstreamClient": "OK changed", "DeleteUpstreamClient": "done",
	"DueRevocations": "done", "QueueRevocation": "done", "EndRevocation": "done",

	"CreateBrowserSession": "done", "BrowserSession": "done not-found", "BrowserSessionsOf": "done",
	"DeleteBrowserSession": "done", "DeleteBrowserSessions": "done",
	"VirtualKeys": "done", "LastVirtualKeyChange": "done", "PutVirtualKey": "OK changed", "DeleteVirtualKey": "OK unknown changed",
	"Person": "done not-found", "Subjects": "done", "SavePerson": "OK signed-out submitted", "UpdatePerson": "OK changed unknown", "DuePersons": "done",
	"EndPerson":     "OK changed",
	"ReplaceSealed": "done", "Sweep": "done", "Empty": "true false", "Check": "done", "Usage": "done",
}

// expectedShared is what stores for several processes answer besides, and what a
// watcher is told of.
var expectedShared = map[string]string{
	"TakeRates": "true false", "AnnounceInstance": "done", "LeaveInstance": "done",
	watched: "tokens person connection virtual_keys site_value still-right",
}

// Missing returns what verbs can answer and never did.
func (r Report) Missing() (all []string) {
	want := maps.Clone(expected)
	if r.Answers[watched] != nil {
		maps.Copy(want, expectedShared)
	}
	for _, verb := range slices.Sorted(maps.Keys(want)) {
		for _, kind := range strings.Fields(want[verb]) {
			if kind = strings.ReplaceAll(kind, "-", " "); r.Answers[verb][kind] == 0 {
				all = append(all, verb+" "+kind)
			}
		}
	}
	return all
}
