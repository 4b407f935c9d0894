package pages

import (
	"fmt"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Text is the catalogue of the words on the pages, so that another language is
// another value of it. What a way to sign in asks for comes with that way
// instead. A %s stands for what the field's comment names.
type Text struct {
	Lang string // of the html element, BCP 47

	// All pages.
	Unverified      string
	Registered      string
	UnnamedClient   string
	Application     string
	ItsName         string
	ChosenName      string
	PublishedBy     string
	ReturnsTo       string
	ThisComputer    string // host and port
	AppLinks        string // URL scheme
	WarnLoopback    string
	WarnAppLinks    string // URL scheme
	WarnForeignHost string // published by, returns to

	// The identity page.
	Wants          string // client, servers
	IdentityTitle  string // site; outside of flows
	IdentityLead   string
	IdentityIgnore string
	Or             string

	// The services page.
	WantsAs       string // client, servers, person
	WantsAsNobody string // client, servers
	AnApplication string
	ServicesTab   string // site
	ServicesOf    string // site
	CountOf       string // number of servers, site
	And           string // between the last two of several names
	MayNotUse     string // person, servers
	YouAre        string
	Nobody        string
	NotYou        string
	NotYouSite    string
	SignedInAs    string // person, until when
	ContinueAs    string // person
	StaysSignedIn string // until when
	SignsIn       string // how long
	KnowsAgain    string // how long
	Servers       string
	Always        string
	LeaveOut      string
	Shared        string
	ToolsTitle    string
	ToolsOf       string // server
	ToolsAll      string
	ToolsReading  string
	ToolsTicked   string
	ToolsWord     string
	ToolsRead     string
	ToolsChange   string
	ToolsDestroy  string
	ToolsMore     string // number
	ToolsAllRules string // where rules take some away
	ToolsUnknown  string
	ToolsConnect  string
	ToolsNone     string
	OthersLabel   string
	OthersNone    string
	OthersReading string
	OthersAll     string
	LastsLabel    string
	LastsLongest  string

	// What was chosen of the tools.
	Tools            string
	ChosenSome       string // server, number
	ChosenReading    string // server
	ChosenAndReading string // server, number
	ChosenAllBut     string // server, number
	ChangedTools     string
	ChangedToolsHint string
	ToolChanged      string // tool, server
	ToolNew          string // tool, server
	Before           string
	After            string
	ApproveTool      string
	ChangeTools      string
	ChangeToolsHint  string
	ChangeToolsNow   string
	EndsLabel        string
	EndsUnchanged    string
	EndsOn           string
	DoneChosen       string // client
	NeededBy         string // servers; follows other names
	ChooseServers    string
	NoServersHint    string
	ScopeUse         string
	ScopeUseRules    string // where rules take some tools away
	Stays            string // lifetime of a grant that nothing renews
	StaysRenewed     string // lifetime without use, absolute lifetime
	Approve          string
	Deny             string
	AfterApprove     string
	AfterApproveApp  string
	AccountHint      string

	// Whether a person is connected to a server.
	ConnectLead string
	State       map[storage.ConnectionState]string
	ConnectedAs string // account
	Required    string
	Optional    string
	Connect     string // server
	Reconnect   string // server
	AsksFor     string
	AsksUnknown string
	MayDo       string
	Since       string

	// The page for keys.
	KeyPageTitle  string // server
	KeyPageLead   string
	KeyPageHint   string
	KeyPageButton string

	// The connect page.
	Service            string
	Connection         string
	ConnectWho         string
	ConnectOther       string
	ConnectTitle       string // server
	ConnectedTitle     string // server
	ConnectAsks        string
	ConnectIgnore      string
	YourApplication    string
	ConnectDone        string // application
	ConnectDoneConfirm string // application
	ConnectDoneTold    string // application
	ConnectDonePress   string // application, button
	// ConnectPress is what to press in applications that wait, by how their names
	// begin.
	ConnectPress map[string]string
	SharedAsks   string
	SharedDone   string
	ServiceAsks  string // the program
	ServiceDone  string // the program
	ToAccount    string

	// The account page.
	AccountTitle    string
	AccountLead     string
	AccountDone     string // server
	NoSignIn        string
	YourServers     string
	YourServersHint string
	NoYourServers   string
	URLOf           string // server
	NotYours        string
	Disconnect      string
	DisconnectHint  string // server
	DisconnectNow   string // server
	// Several accounts at one server.
	AddAccount              string // server
	AddAccountHint          string // address of the server, with a slash
	AccountName             string
	AddAccountNow           string // server
	AccountsFull            string // how many
	Rename                  string
	RenameHint              string
	RenameLabel             string
	RenameNow               string
	Remove                  string
	RemoveHint              string // account
	RemoveNow               string // account
	DoneRenamed             string // account
	DoneRemoved             string // account
	Grants                  string
	NoGrants                string
	GrantedOn               string
	LastUsed                string
	MayUse                  string
	MayDoHere               string
	Revoke                  string
	RevokeHint              string
	RevokeNow               string
	SignOut                 string
	SignOutEverywhere       string
	SignOutHint             string
	SignOutEverywhereNow    string
	DoneRevoked             string // application
	DoneRevokedOther        string
	DoneApproved            string // tool
	DoneDisconnected        string // server
	DoneSignedOut           string
	DoneSignedOutEverywhere string
	// StillSignedIn and SignOutThere are about the place where a person signed in.
	StillSignedIn, SignOutThere string
	SignedOutTitle              string
	SignOutThereAsked           string // the link, if the button leads nowhere

	// The pages at addresses that are made for applications.
	ServerLead    string
	FrontTitle    string // site
	FrontLead     string
	Address       string
	AddToClient   string
	ForClient     string // client
	MenusChange   string
	ToYourAccount string

	// Lifetimes.
	Minutes, Hours, Days string // number
	Minute, Hour, Day    string

	// Messages on a page after a form or a provider refused, by code or
	// upstream.Problem.
	Refused map[string]string

	Problem string // in front of the title of a page that says what is wrong

	// The error page.
	Reference  string // correlation id
	ErrorTitle map[int]string
	ErrorNext  map[int]string
	ErrorOther string
	Back       string

	// Messages of the error page.
	Framed, BadRequest, WrongMethod, TooLarge, NotOffered, Invalid, Expired, OtherBrowser,
	Forged, Submitted, Changed, ChangedTitle, ChangedNext, TooManyWrong, TooManySignIns, TooManyConnects, Unavailable,
	ConnectOtherBrowser, UnknownServer, LoginEnded, LoginNext, LoginUnavailable, LoginUnavailableNext, LinkInvalid, LinkExpired, LinkUsed, LinkNext, LinkUsedNext, ConnectNext, SignedOut, SignedOutNext, ForgedNext string
}

// Codes of the error parameter. They are fixed, so that no link to a page can
// put words on it.
const (
	CodeNoServer = "no_server"
	CodeNoScope  = "no_scope"
	CodeRequired = "required"
	CodeNoTools  = "no_tools"
	// About the name of an account.
	CodeAccountName   = "account_name"
	CodeAccountExists = "account_exists"
	CodeAccountLabel  = "account_label"
)

// List puts names into words.
func (t *Text) List(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + t.And + names[last]
}

// Duration puts a lifetime into words, in the largest unit that fits.
func (t *Text) Duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return t.Day
	case d > day && d%day == 0:
		return fmt.Sprintf(t.Days, d/day)
	case d == time.Hour:
		return t.Hour
	case d > time.Hour && d%time.Hour == 0:
		return fmt.Sprintf(t.Hours, d/time.Hour)
	case d < 90*time.Second:
		return t.Minute
	default:
		return fmt.Sprintf(t.Minutes, d.Round(time.Minute)/time.Minute)
	}
}
