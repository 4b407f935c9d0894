package doctor

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Format is the version of a Report's JSON. Members are added to it; what is
// there keeps its name and meaning.
const Format = 1

// Outcome is what an examination came to.
type Outcome string

// The outcomes.
const (
	// Healthy: no failure and no warning.
	Healthy Outcome = "healthy"
	// Findings: there is one at least.
	Findings Outcome = "findings"
	// Unchecked: the server did not answer, or asked to come back later.
	Unchecked Outcome = "unchecked"
)

// Severity says what a finding means to people.
type Severity string

// The severities.
const (
	// Failure: a client that follows the standards cannot go on here.
	Failure Severity = "failure"
	// Warning: something is against a rule that protects people, or stops
	// clients of some kind.
	Warning Severity = "warning"
	// Note: something could be better. It does not count as a finding.
	Note Severity = "note"
)

// Report is what an examination found.
type Report struct {
	Format  int     `json:"format"`
	URL     string  `json:"url"`
	Outcome Outcome `json:"outcome"`
	// Reason says why nothing could be checked.
	Reason string `json:"reason,omitempty"`
	// SignIn is what calls need: "none", "oauth", or "unknown" for a server that
	// refuses calls and does not say where to sign in.
	SignIn string `json:"sign_in,omitempty"`
	// Issuer is the authorization server's, if one was found.
	Issuer   string         `json:"issuer,omitempty"`
	Server   *Server        `json:"server,omitempty"`
	Clients  []ClientReport `json:"clients"`
	Findings []Finding      `json:"findings"`
	// Registrations are the clients that were registered for the examination.
	Registrations []Registration `json:"registrations"`
	// Exchanges are the requests that were made, in order, without their queries.
	Exchanges []Exchange `json:"exchanges"`

	hints hints
}

// hints are what a server said that was not as it should be, for who puts up with it.
type hints struct {
	resource, issuer string
}

// Server is what a server says of itself once a call is answered.
type Server struct {
	Name      string   `json:"name,omitempty"`
	Version   string   `json:"version,omitempty"`
	Revisions []string `json:"revisions"`
	Tools     int      `json:"tools"`
}

// Reached says how far a family of clients comes.
type Reached string

// How far a family comes.
const (
	// Connected: its calls are answered.
	Connected Reached = "connected"
	// Person: up to the page on which a person signs in, or to calls that need a
	// token. Nothing is in its way up to there.
	Person Reached = "person"
	// Stopped: something is in its way.
	Stopped Reached = "stopped"
	// NotOffered: the server does not have what this family needs, and need not.
	NotOffered Reached = "not_offered"
	// Skipped: it was not asked for.
	Skipped Reached = "skipped"
)

// ClientReport is how far one family of clients comes.
type ClientReport struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Like names clients that were seen to work so.
	Like    string  `json:"like,omitempty"`
	Reached Reached `json:"reached"`
	Steps   []Step  `json:"steps"`
}

// Step is one thing that a client does on its way.
type Step struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// Finding is one thing that is wrong, at one place.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	// At is the address that it was seen at.
	At string `json:"at"`
	// Seen is what was answered there.
	Seen string `json:"seen"`
	Spec string `json:"spec"`
	Fix  string `json:"fix"`
	// Clients are the families that met it; none if none does that asks so.
	Clients []string `json:"clients"`
	// References are the ids that answers showed for looking up in a log.
	References []string `json:"references,omitempty"`
	// Logged is what the server logged under the references, where the server is
	// this machine's own.
	Logged []string `json:"logged,omitempty"`
}

// Registration is a client that was registered for the examination.
type Registration struct {
	ClientID string `json:"client_id"`
	Issuer   string `json:"issuer"`
	Deleted  bool   `json:"deleted"`
	// Left says why it is still there.
	Left string `json:"left,omitempty"`
}

// Exchange is a request and how it was answered.
type Exchange struct {
	Method    string `json:"method"`
	URL       string `json:"url"`
	Status    int    `json:"status,omitempty"`
	Error     string `json:"error,omitempty"`
	Reference string `json:"reference,omitempty"`
}

func (a *answer) exchange() Exchange {
	e := Exchange{Method: a.request.method, URL: shown(a.request.url), Status: a.status, Reference: a.reference()}
	if a.err != nil {
		e.Error = said(a.err.Error())
	}
	return e
}

// references are the ids by which an answer of this project, or of many others,
// can be found in a log.
var references = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

var referenceMembers = regexp.MustCompile(`"correlation_id"\s*:\s*"([0-9a-f-]{36})"`)

// reference returns the id that a refusal shows.
func (a *answer) reference() string {
	if a.status < 400 {
		return ""
	}
	if found := referenceMembers.FindSubmatch(a.body); found != nil {
		return string(found[1])
	}
	if strings.Contains(a.header.Get("Content-Type"), "text/html") {
		return string(references.Find(a.body))
	}
	return ""
}

// shown returns an address without its query and user.
func shown(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return said(raw)
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return said(u.String())
}

const maxSaid = 300

// said returns what somebody else wrote so that it can be printed: without
// control characters, and not too long.
func said(s string) string {
	s = printable(s)
	if runes := []rune(s); len(runes) > maxSaid {
		return string(runes[:maxSaid]) + "…"
	}
	return s
}

func printable(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)), " ")
}

// Log adds what the server knows of a finding, in sentences, unless it is there.
func (f *Finding) Log(sentences ...string) {
	line := printable(strings.Join(sentences, " "))
	if !slices.Contains(f.Logged, line) {
		f.Logged = append(f.Logged, line)
	}
}

// Differ adds in what the Caddys that serve what was examined differ, and what to do.
// Only they know.
func (r *Report) Differ(seen, fix string) {
	k := instancesDiffer
	r.Findings = append(r.Findings, Finding{
		ID: k.ID, Severity: k.Severity, Title: k.Title, At: r.URL, Seen: printable(seen), Spec: k.Spec, Fix: fix, Clients: []string{},
	})
	r.settle()
}

// count returns how many findings have the severity.
func (r *Report) count(severity Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

func (r *Report) settle() {
	switch {
	case r.count(Failure)+r.count(Warning) > 0:
		r.Outcome = Findings
	case r.Reason != "":
		r.Outcome = Unchecked
	default:
		r.Outcome = Healthy
	}
	order := []Severity{Failure, Warning, Note}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(order, a.Severity) - slices.Index(order, b.Severity)
	})
}
