package lists

import (
	"bytes"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	// maxHeld bounds what is held until it is known whether it stays: one item.
	maxHeld = 1 << 20
	// maxText bounds what an item is called. A longer one cannot be called either.
	maxText = 8 << 10
	// trackedDepth is more than the deepest place that matters: annotations in a batch.
	trackedDepth = 8
)

// Filter filters one JSON text: a message, or a batch of them. Anything else is for
// the caller to pass on.
type Filter struct {
	policy Policy
	out    []byte // what may be passed on

	nesting strictjson.Nesting
	levels  [trackedDepth]level
	skips   int  // the depth of a value in which nothing matters; 0 outside of such
	ended   bool // the text is whole

	inText  bool
	escaped bool
	takes   bool // the text that is read now is taken into text
	text    []byte

	held   []byte // of earlier pieces
	hold   hold
	kept   int // items of the list so far
	item   item
	member member // whose value comes next
}

// level is an open object or array.
type level struct {
	place place
	names bool // a name comes next
}

// hold is why bytes are not passed on at once.
type hold uint8

const (
	holdNothing hold = iota
	holdList         // between the items of a list
	holdItem
	holdCapabilities
	holdScope
)

// item is what is read of an item that is held.
type item struct {
	kind                                         access.Kind
	name                                         string
	named, bad                                   bool
	readOnly, destructive, idempotent, openWorld *bool
}

// NewFilter returns a Filter of one text.
func NewFilter(policy Policy) *Filter { return &Filter{policy: policy} }

// Out returns what may be passed on by now, once.
func (f *Filter) Out() []byte {
	out := f.out
	f.out = f.out[:0]
	return out
}

// Len returns how much that is.
func (f *Filter) Len() int { return len(f.out) }

// Write reads on.
func (f *Filter) Write(p []byte) error {
	from := 0 // what of p is neither passed on, nor held, nor dropped yet
	for i := 0; i < len(p); i++ {
		if f.inText {
			if i = f.readText(p, i); i == len(p) {
				break
			}
			if f.hold == holdScope && !f.inText {
				f.out = append(f.out, `"private"`...)
				f.hold, from = holdNothing, i+1
			}
			continue
		}
		if f.skips > 0 {
			var err error
			if i, err = f.skip(p, i); err != nil {
				return err
			}
			continue
		}
		switch c := p[i]; c {
		case ' ', '\t', '\n', '\r':
		case '"':
			if f.nesting.Depth() == 0 {
				return errSyntax
			}
			f.beginText()
			if f.hold == holdScope {
				f.out = append(f.out, p[from:i]...)
			}
		case ':', ',':
			if f.nesting.Depth() == 0 {
				return errSyntax
			}
			if c == ':' {
				f.level().names = false
				break
			}
			if l := f.level(); !f.nesting.InArray() {
				l.names, f.member = true, isOther
			}
		case '{', '[':
			if f.ended {
				return errSyntax
			}
			before := f.hold
			if err := f.open(c == '['); err != nil {
				return err
			}
			switch {
			case before == f.hold:
			case f.hold == holdList:
				f.out = append(f.out, p[from:i+1]...)
			case f.hold == holdCapabilities:
				f.out = append(f.out, p[from:i]...)
				from = i
			default: // an item begins
				from = i
			}
		case '}', ']':
			before := f.hold
			if err := f.close(c == ']'); err != nil {
				return err
			}
			if before == f.hold {
				break
			}
			switch before {
			case holdItem:
				f.endItem(p[from : i+1])
			case holdCapabilities:
				f.endCapabilities(p[from : i+1])
			}
			from = i + 1
			if before == holdList {
				from = i
			}
		default:
			if f.ended || f.nesting.Depth() == 0 || c < ' ' { // some readers take text of two bytes a character
				return errSyntax
			}
			f.literal(c)
		}
	}
	return f.pieceEnds(p, from)
}

// pieceEnds passes on, holds or drops the rest of a piece.
func (f *Filter) pieceEnds(p []byte, from int) error {
	switch f.hold {
	case holdNothing:
		f.out = append(f.out, p[from:]...)
	case holdItem, holdCapabilities:
		if f.held = append(f.held, p[from:]...); len(f.held) > maxHeld {
			return errTooLarge
		}
	}
	return nil
}

// Close says that the text is at its end.
func (f *Filter) Close() error {
	if !f.ended || f.inText {
		return errSyntax
	}
	return nil
}

// reset prepares for the next text.
func (f *Filter) reset() {
	*f = Filter{policy: f.policy, out: f.out, text: f.text[:0], held: f.held[:0]}
}

// skip reads on in a value in which nothing matters, and returns where it ends or
// where a string begins in it, or len(p).
func (f *Filter) skip(p []byte, i int) (int, error) {
	for ; i < len(p); i++ {
		switch c := p[i]; c {
		case '"':
			f.inText, f.takes = true, false
			if i = f.readText(p, i+1); i == len(p) {
				return i, nil
			}
		case '{', '[':
			if !f.nesting.Open(c == '[') {
				return i, errDepth
			}
		case '}', ']':
			if !f.nesting.Ends(c == ']') {
				return i, errSyntax
			}
			if f.nesting.Close(); f.nesting.Depth() < f.skips {
				f.skips = 0
				return i, nil
			}
		}
	}
	return i, nil
}

// readText reads on in a string, and returns where it ends, or len(p).
func (f *Filter) readText(p []byte, i int) int {
	begin := i
	if f.escaped && i < len(p) {
		f.escaped = false
		i++
	}
	for {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			f.escaped = endsInEscape(p[i:])
			f.take(p[begin:])
			return len(p)
		}
		if n > 0 && p[i+n-1] == '\\' && endsInEscape(p[i:i+n]) {
			i += n + 1
			continue
		}
		i += n
		f.take(p[begin:i])
		f.inText = false
		f.textEnds()
		return i
	}
}

// endsInEscape reports whether what comes next is escaped.
func endsInEscape(p []byte) bool {
	n := 0
	for n < len(p) && p[len(p)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// take takes a part of a text that matters.
func (f *Filter) take(p []byte) {
	switch {
	case !f.takes:
	case len(f.text)+len(p) > maxText:
		f.takes, f.item.bad = false, true
	default:
		f.text = append(f.text, p...)
	}
}

// endItem passes on an item, of which these are the last bytes, if it stays.
func (f *Filter) endItem(last []byte) {
	definition := last
	if len(f.held) > 0 {
		f.held = append(f.held, last...)
		definition = f.held
	}
	i := &f.item
	if i.bad || !i.named || !f.policy.Keep(access.Item{
		Kind: i.kind, Name: i.name, Annotations: access.Hints(i.readOnly, i.destructive, i.idempotent, i.openWorld), Open: true,
	}, definition) {
		return
	}
	if f.kept++; f.kept > 1 {
		f.out = append(f.out, ',')
	}
	f.out = append(f.out, definition...)
}

// endCapabilities passes on what a server can, of which these are the last bytes.
func (f *Filter) endCapabilities(last []byte) {
	all := last
	if len(f.held) > 0 {
		f.held = append(f.held, last...)
		all = f.held
	}
	f.out = append(f.out, withoutUnusable(bytes.Clone(all), f.policy)...)
}
