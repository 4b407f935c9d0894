package lists

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// place is what an object or array is a part of, as far as that matters.
type place uint8

const (
	elsewhere place = iota
	inBatch
	inMessage
	inResult
	inCapabilities
	inList
	inItem
	inNoItem // something in a list that is no object
	inAnnotations
)

// member is a member that matters where it stands.
type member uint8

const (
	isOther member = iota
	isResult
	isCapabilities
	isScope
	isCursor
	isTools
	isResources
	isTemplates
	isPrompts
	isName // of an item: what it is called by
	isAnnotations
	isReadOnly
	isDestructive
	isIdempotent
	isOpenWorld
)

func (m member) lists() bool { return m >= isTools && m <= isPrompts }

// kind returns of what a list is.
func (m member) kind() access.Kind {
	switch m {
	case isResources:
		return access.Resource
	case isTemplates:
		return access.ResourceTemplate
	case isPrompts:
		return access.Prompt
	}
	return access.Tool
}

// memberOf returns which member a name is, without an allocation. Around lists, case
// does not matter: for some clients, such as those with encoding/json, it does not.
func memberOf(at place, name []byte, kind access.Kind) member {
	switch at {
	case inMessage:
		if sameInAnyCase(name, "result") {
			return isResult
		}
	case inResult:
		if m, known := ofResult[string(name)]; known {
			return m
		}
		for known, m := range ofResult {
			if sameInAnyCase(name, known) {
				return m
			}
		}
	case inItem:
		if string(name) == nameOf[kind] { // in a switch, it would be copied
			return isName
		}
		if string(name) == "annotations" {
			return isAnnotations
		}
	case inAnnotations:
		switch string(name) {
		case "readOnlyHint":
			return isReadOnly
		case "destructiveHint":
			return isDestructive
		case "idempotentHint":
			return isIdempotent
		case "openWorldHint":
			return isOpenWorld
		}
	}
	return isOther
}

// ofResult are the members of results that matter.
var ofResult = map[string]member{
	"tools": isTools, "resources": isResources, "resourceTemplates": isTemplates, "prompts": isPrompts,
	"capabilities": isCapabilities, "cacheScope": isScope, "nextCursor": isCursor,
}

// sameInAnyCase reports whether a name is a known one, or another spelling of it.
func sameInAnyCase(name []byte, known string) bool {
	switch {
	case len(name) <= len(known):
		return strings.EqualFold(string(name), known)
	case len(name) > 3*len(known) || !slices.ContainsFunc(name, func(c byte) bool { return c >= utf8.RuneSelf }):
		return false
	}
	return spelling.Fold(string(name)) == spelling.Fold(known)
}

// nameOf is the member that an item is called by.
var nameOf = [...]string{
	access.Tool: "name", access.Resource: "uri", access.ResourceTemplate: "uriTemplate", access.Prompt: "name",
}

// wholeText takes a string, of which p has the rest from i on, and returns where it ends.
// It returns -1 for one of which p has only a part, or that is not passed on as it is.
func (f *Filter) wholeText(p []byte, i int) int {
	l := f.level()
	takes := f.takesText(l)
	if !l.names && f.member == isScope {
		return -1
	}
	end := textEnd(p, i)
	switch {
	case end < 0, takes && end-i > maxText:
		return -1
	case takes:
		f.textEnds(p[i:end], true)
	default:
		f.textEnds(nil, false)
	}
	return end
}

// takesText reports whether the string that begins matters: a name of a member, or a
// value.
func (f *Filter) takesText(l *level) bool {
	if l.names {
		return l.place >= inMessage
	}
	return f.member == isName || f.member == isCursor
}

// beginText begins a string: a name or a value.
func (f *Filter) beginText() {
	f.inText, f.text = true, f.text[:0]
	l := f.level()
	f.takes = f.takesText(l)
	if !l.names && f.member == isScope {
		f.hold = holdScope
	}
}

// textEnds takes a string, if it is taken.
func (f *Filter) textEnds(text []byte, taken bool) {
	if f.skips > 0 {
		return
	}
	l := f.level()
	if !l.names {
		switch {
		case f.member == isName:
			f.noteName(text)
		case f.member == isCursor:
			if f.goesOn = true; taken {
				f.policy.Next(slices.Concat([]byte{'"'}, text, []byte{'"'}))
			}
		}
		f.member = isOther
		return
	}
	f.member = isOther
	if !taken {
		return
	}
	name := unescaped(text)
	f.member = memberOf(l.place, name, f.item.kind)
	// Some clients would call the item by that.
	f.item.bad = f.item.bad || l.place == inItem && f.member != isName && sameInAnyCase(name, nameOf[f.item.kind])
}

// noteName notes what an item is called. One that has two names is bad.
func (f *Filter) noteName(text []byte) {
	name := unescaped(text)
	f.item.bad = f.item.bad || name == nil || f.item.named && !bytes.Equal(name, f.name)
	f.name, f.item.named = append(f.name[:0], name...), true
}

// unescaped returns what the inner part of a string stands for.
func unescaped(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var text string
	if json.Unmarshal([]byte(`"`+string(raw)+`"`), &text) != nil {
		return nil
	}
	return []byte(text)
}

// literal takes the first byte of true and false, as far as they are annotations.
func (f *Filter) literal(c byte) {
	if f.member < isReadOnly || c != 't' && c != 'f' {
		return
	}
	value := saidFalse
	if c == 't' {
		value = saidTrue
	}
	switch f.member {
	case isReadOnly:
		f.item.readOnly = value
	case isDestructive:
		f.item.destructive = value
	case isIdempotent:
		f.item.idempotent = value
	case isOpenWorld:
		f.item.openWorld = value
	}
	f.member = isOther
}
