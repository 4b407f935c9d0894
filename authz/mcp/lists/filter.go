package lists

import (
	"bytes"
	"cmp"

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
	last    byte // of the piece before

	inText  bool
	escaped bool
	takes   bool // the text that is read now is taken into text
	text    []byte

	held   []byte // of earlier pieces
	hold   hold
	kept   int                     // items of the list so far
	listed [access.Prompt + 1]bool // by kind, whether the result has a list
	goesOn bool                    // it names a next page
	item   item
	name   []byte // of the item, if it is named
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
	named, bad                                   bool
	readOnly, destructive, idempotent, openWorld hint
}

// hint is an annotation. Not a pointer, which would cost each of them a write barrier
// while garbage is collected.
type hint uint8

const (
	unsaid hint = iota
	saidFalse
	saidTrue
)

var yes, no = true, false

// said returns what was said, nil for nothing.
func (h hint) said() *bool {
	switch h {
	case saidTrue:
		return &yes
	case saidFalse:
		return &no
	}
	return nil
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

// Write reads on. What it passes on does not depend on the pieces in which a text
// comes, also of one that goes wrong.
func (f *Filter) Write(p []byte) error {
	n, from, err := f.read(p)
	if n > 0 {
		f.last = p[n-1]
	}
	return cmp.Or(err, f.pieceEnds(p[:n], from))
}

// read returns how much of p is right, and from where on it is neither passed on, nor
// held, nor dropped yet.
func (f *Filter) read(p []byte) (i, from int, err error) {
	for ; i < len(p); i++ {
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
			if i, err = f.skip(p, i); err != nil {
				return i, from, err
			}
			continue
		}
		switch c := p[i]; c {
		case ' ', '\t', '\n', '\r':
		case '"':
			if f.nesting.Depth() == 0 || f.followsLiteral(p, i) {
				return i, from, errSyntax
			}
			if end := f.wholeText(p, i+1); end >= 0 { // most of them
				i = end
				break
			}
			f.beginText()
			if f.hold == holdScope {
				f.out = append(f.out, p[from:i]...)
			}
		case ':', ',':
			if f.nesting.Depth() == 0 {
				return i, from, errSyntax
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
				return i, from, errSyntax
			}
			if size := f.knownItem(p[i:]); size > 0 {
				i += size - 1
				break
			}
			before := f.hold
			if err := f.open(c == '['); err != nil {
				return i, from, err
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
				return i, from, err
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
			if f.ended || f.nesting.Depth() == 0 || !isLiteral(c) || f.level().names {
				return i, from, errSyntax
			}
			f.literal(c)
		}
	}
	return len(p), from, nil
}

// passBlanks passes on what a text begins after, and returns the rest.
func (f *Filter) passBlanks(p []byte, blanks string) []byte {
	rest := bytes.TrimLeft(p, blanks)
	f.out = append(f.out, p[:len(p)-len(rest)]...)
	return rest
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
	*f = Filter{policy: f.policy, out: f.out, text: f.text[:0], name: f.name[:0], held: f.held[:0]}
}

// endItem passes on an item, of which these are the last bytes, if it stays.
func (f *Filter) endItem(last []byte) {
	definition := last
	if len(f.held) > 0 {
		f.held = append(f.held, last...)
		definition = f.held
	}
	i := &f.item
	if i.bad || !i.named || !f.policy.Keep(i.kind, f.name, access.Hints(i.readOnly.said(), i.destructive.said(), i.idempotent.said(), i.openWorld.said()), definition) {
		return
	}
	f.keepItem(definition)
}

// knownItem passes on an item that the server wrote so before, if it stays, without
// reading it, and returns how long it is; 0 if it must be read.
func (f *Filter) knownItem(p []byte) int {
	if f.hold != holdList {
		return 0
	}
	size, keep := f.policy.Known(f.item.kind, p)
	if keep {
		f.keepItem(p[:size])
	}
	return size
}

func (f *Filter) keepItem(definition []byte) {
	if f.kept++; f.kept > 1 {
		f.out = append(f.out, ',')
	}
	f.out = append(f.out, definition...)
}
