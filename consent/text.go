package consent

// text is the catalogue of all words on the pages, so that another language is
// another value of it. A %s stands for what the field's comment names.
type text struct {
	Lang string // of the html element, BCP 47

	// All pages.
	Unverified      string
	Registered      string
	UnnamedClient   string
	Application     string
	CallsItself     string
	PublishedBy     string
	ReturnsTo       string
	ThisComputer    string // host and port
	AppLinks        string // URL scheme
	WarnLoopback    string
	WarnAppLinks    string // URL scheme
	WarnForeignHost string // published by, returns to

	// The identity page.
	IdentityTitle   string // site
	IdentityLead    string
	IdentityIgnore  string
	Or              string
	KeyTitle        string
	KeyLabel        string
	KeyHint         string
	KeyButton       string
	UserIDTitle     string
	UserIDLabel     string
	UserIDHint      string
	UserIDButton    string
	AnonymousTitle  string
	AnonymousHint   string
	AnonymousButton string
	CaddyTitle      string
	CaddyHint       string // user
	CaddyButton     string // user
	CaddyNobody     string

	// The services page.
	ServicesTitle   string
	ServicesLead    string // site
	YouAre          string
	Nobody          string
	Declared        string
	ByKey           string
	ByServer        string
	ChangeIdentity  string
	Servers         string
	ChooseServers   string
	NoServers       string
	NoServersHint   string
	ScopeUse        string
	Stays           string // lifetime of a grant that nothing renews
	StaysRenewed    string // lifetime without use, absolute lifetime
	Approve         string
	Deny            string
	AfterApprove    string
	AfterApproveApp string

	// Lifetimes.
	Minutes, Hours, Days string // number
	Minute, Hour, Day    string

	// Messages on a page after a form was refused, by code.
	Refused map[string]string

	// The error page.
	Reference  string // correlation id
	ErrorTitle map[int]string
	ErrorNext  map[int]string
	ErrorOther string
	Back       string

	// Messages of the error page.
	Framed, BadRequest, WrongMethod, TooLarge, NotOffered, Invalid, Expired, OtherBrowser,
	Forged, Submitted, Changed, ChangedTitle, ChangedNext, TooManyKeys, Unavailable string
}

// Codes of the error parameter. They are fixed, so that no link to a page can
// put words on it.
const (
	codeKey       = "key"
	codeUserID    = "user_id"
	codeNoUser    = "no_user"
	codeOtherUser = "other_user"
	codeNoServer  = "no_server"
)

var english = text{
	Lang: "en",

	Unverified:      "Not verified",
	Registered:      "Registered by the operator",
	UnnamedClient:   "nothing (it gave no name)",
	Application:     "Application",
	CallsItself:     "Calls itself",
	PublishedBy:     "Published by",
	ReturnsTo:       "Sends you back to",
	ThisComputer:    "a program on this computer (%s)",
	AppLinks:        "the app that opens %s: links",
	WarnLoopback:    "Continue only if you just started this from an application on this computer. Any program on it can use this name.",
	WarnAppLinks:    "Continue only if you just started this from an application on this device. Any app can claim to open %s: links.",
	WarnForeignHost: "The application is published by %s but sends you to another site, %s.",

	IdentityTitle:   "Sign in to %s",
	IdentityLead:    "An application asks for access to MCP servers. First say who you are; nothing is shared yet.",
	IdentityIgnore:  "You did not start this? Close this page. Nothing has been granted.",
	Or:              "or",
	KeyTitle:        "Virtual key",
	KeyLabel:        "Your key",
	KeyHint:         "The key that the operator of this site gave you. The application never sees it.",
	KeyButton:       "Continue with key",
	UserIDTitle:     "User ID",
	UserIDLabel:     "Your user ID",
	UserIDHint:      "A name you will use every time. Nobody checks it: on this site people go by what they say.",
	UserIDButton:    "Continue with user ID",
	AnonymousTitle:  "No account",
	AnonymousHint:   "What you connect belongs to this one application and cannot be found again later.",
	AnonymousButton: "Continue without signing in",
	CaddyTitle:      "Signed in",
	CaddyHint:       "This site knows you as %s.",
	CaddyButton:     "Continue as %s",
	CaddyNobody:     "You are not signed in to this site. Sign in, then start again from the application.",

	ServicesTitle:   "Allow this application to connect?",
	ServicesLead:    "It asks for access to MCP servers at %s, in your name.",
	YouAre:          "You are",
	Nobody:          "Nobody in particular (no account)",
	Declared:        "user ID, not verified",
	ByKey:           "virtual key",
	ByServer:        "signed in to this site",
	ChangeIdentity:  "Change identity",
	Servers:         "It gets access to",
	ChooseServers:   "Choose what it gets access to",
	NoServers:       "With this identity you cannot give access to what the application asks for.",
	NoServersHint:   "Change your identity, or deny the request.",
	ScopeUse:        "Use all its tools, and read what it offers",
	Stays:           "Access ends after %s.",
	StaysRenewed:    "Access ends after %s without use, and after %s in any case.",
	Approve:         "Allow and finish",
	Deny:            "Deny",
	AfterApprove:    "You are then sent back to the application.",
	AfterApproveApp: "Your browser may then ask whether to open the application; say yes. You can close this page afterwards.",

	Minutes: "%d minutes", Hours: "%d hours", Days: "%d days",
	Minute: "1 minute", Hour: "1 hour", Day: "1 day",

	Refused: map[string]string{
		codeKey:       "This key is not known here, or no longer valid. Check it and try again.",
		codeUserID:    "A user ID has 1 to 255 visible characters. Please type another one.",
		codeNoUser:    "You are not signed in to this site.",
		codeOtherUser: "Somebody else is signed in now. Check the name and continue again.",
		codeNoServer:  "Choose at least one server, or deny the request.",
	},

	Reference: "Error reference",
	ErrorTitle: map[int]string{
		400: "This request cannot be answered",
		403: "This is not allowed",
		404: "There is nothing here",
		405: "This request cannot be answered",
		409: "Already answered",
		410: "This request has expired",
		413: "This request is too large",
		429: "Too many attempts",
		503: "Not available right now",
	},
	ErrorNext: map[int]string{
		400: "Go back to the application and start signing in again. If it happens again, tell whoever runs this site the error reference below.",
		403: "Go back to the application and start signing in again, in one browser and with cookies allowed.",
		409: "Look at the application: it may be connected already. If not, start signing in there again.",
		410: "Go back to the application and start signing in again.",
		429: "Wait a minute, then try again.",
		503: "Nothing has been granted. Try again in a moment.",
	},
	ErrorOther: "Go back to the application and try again. If it happens again, tell whoever runs this site the error reference below.",
	Back:       "Go back",

	Framed:       "This page does not work inside another page.",
	BadRequest:   "The request is incomplete or malformed.",
	WrongMethod:  "This address does not work that way.",
	TooLarge:     "The form holds more than this site accepts.",
	NotOffered:   "This way to identify yourself is not offered here.",
	Invalid:      "The sign-in link is incomplete or damaged.",
	Expired:      "You took longer than the sign-in may last.",
	OtherBrowser: "The sign-in was started in another browser, or this one does not keep cookies.",
	Forged:       "The form did not come from this site's page.",
	Submitted:    "This sign-in was already finished or refused.",
	Changed:      "Your identity changed since the page was shown, so nothing was granted.",
	ChangedTitle: "Your identity changed",
	ChangedNext:  "Perhaps you changed it in another window. Go back to see who you are now, and decide again.",
	TooManyKeys:  "Too many keys were tried.",
	Unavailable:  "The server cannot answer right now.",
}
