package mcp

import "sync"

// ScanError says why a body cannot be read in one way only. It repeats nothing of it.
type ScanError string

// Error implements error.
func (e ScanError) Error() string { return "mcp: " + string(e) }

// Reasons why a body is refused.
const (
	errSyntax      ScanError = "the body is not one JSON text in UTF-8"
	errDepth       ScanError = "the body is nested too deeply"
	errRepeated    ScanError = "a member that decides what a message is stands there twice"
	errSpelling    ScanError = "a member that decides what a message is has a name that is spelt otherwise"
	errMember      ScanError = "a member that decides what a message is has a value of the wrong type, or too long a one"
	errMessage     ScanError = "a message is neither a request nor a notification nor a response"
	errMethod      ScanError = "a method is spelt otherwise than MCP does"
	errNoItem      ScanError = "a message does not say by a text what it uses"
	errEmptyBatch  ScanError = "the batch is empty"
	errIncomplete  ScanError = "the body ends before its JSON text does"
	errNoCharacter ScanError = "a member that decides what a message is has a NUL, or half of a character"
)

// scanners are those of whole bodies.
var scanners = sync.Pool{New: func() any { return new(Scanner) }}

// Scan reads the whole body of a request: one message, or a batch. It builds no tree,
// and refuses what readers that are less strict could take for another message. What
// an operator's rules do not look at, it leaves to the server.
func Scan(body []byte) ([]Message, error) {
	all := make([]Message, 0, 1)
	s := scanners.Get().(*Scanner)
	defer func() {
		*s = Scanner{} // nothing of a body is kept
		scanners.Put(s)
	}()
	s.kept, s.text = body, s.buffer[:0]
	s.found = func(m *Message) error {
		all = append(all, *m)
		return nil
	}
	if _, err := s.Write(body); err != nil {
		return nil, err
	}
	return all, s.Close()
}

// draft is a message that is being read.
type draft struct {
	Message
	has       member // all that it has had
	typed     member // those of them that have the type that MCP wants
	version   string // jsonrpc
	name, uri string // of params
	refType   string
	refName   string
	refURI    string
	asked     string // protocolVersion of initialize
	uris      []string

	argumentsDepth, argumentsStart int // while they are read
}

// take notes a text.
func (d *draft) take(at place, m member, text string) error {
	switch {
	case at == inURIs:
		if len(d.uris) == maxURIs {
			return errMember
		}
		d.uris = append(d.uris, text)
	case m == hasVersion:
		d.version = text
	case m == hasMethod:
		if len(text) > maxMethodLen {
			return errMember
		}
		d.Method = text
	case m == hasName:
		d.name, d.typed = text, d.typed|m
	case m == hasURI:
		d.uri, d.typed = text, d.typed|m
	case m == hasAsked:
		d.asked = text
	case m == hasRevision:
		d.Revision = text
	case m == hasRefType:
		d.refType = text
	case m == hasRefName:
		d.refName, d.typed = text, d.typed|m
	case m == hasRefURI:
		d.refURI, d.typed = text, d.typed|m
	}
	return nil
}

// maxURIs bounds the resources of one subscription.
const maxURIs = 1 << 10

// message returns the message once all of it was read.
func (d *draft) message() (*Message, error) {
	m := &d.Message
	switch response := d.has&(hasResult|hasError) != 0; {
	case d.version != "2.0":
		return nil, errMessage
	case d.has&hasMethod == 0:
		if !response {
			return nil, errMessage
		}
		return m, nil
	case response:
		return nil, errMessage
	}
	if !isSpeltAsKnown(m.Method) {
		return nil, errMethod
	}
	if m.Method == "initialize" {
		m.Revision = d.asked
	}
	return m, d.addItems()
}

// addItems finds what the message uses. What it does not name is the item without a
// name: rules for all items are about that, too, and the server says what is missing.
func (d *draft) addItems() error {
	use := func(kind ItemKind, name string, m member) error {
		if d.has&^d.typed&m != 0 {
			return errNoItem
		}
		d.Items = append(d.Items, Item{kind, name})
		return nil
	}
	switch d.Method {
	case "tools/call":
		return use(Tool, d.name, hasName)
	case "prompts/get":
		return use(Prompt, d.name, hasName)
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		return use(Resource, d.uri, hasURI)
	case "completion/complete":
		switch d.refType {
		case "ref/prompt":
			return use(Prompt, d.refName, hasRefName)
		case "ref/resource":
			return use(ResourceTemplate, d.refURI, hasRefURI)
		}
		return errNoItem
	case Subscribe:
		if d.has&^d.typed&(hasNotifications|hasURIs) != 0 {
			return errNoItem
		}
		for _, uri := range d.uris {
			d.Items = append(d.Items, Item{Resource, uri})
		}
	}
	return nil
}
