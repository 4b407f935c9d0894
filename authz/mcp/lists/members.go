package lists

import (
	"encoding/json"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
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

// memberOf returns which member a name is, without an allocation.
func memberOf(at place, name []byte, kind access.Kind) member {
	switch at {
	case inMessage:
		if string(name) == "result" {
			return isResult
		}
	case inResult:
		switch string(name) {
		case "tools":
			return isTools
		case "resources":
			return isResources
		case "resourceTemplates":
			return isTemplates
		case "prompts":
			return isPrompts
		case "capabilities":
			return isCapabilities
		case "cacheScope":
			return isScope
		case "nextCursor":
			return isCursor
		}
	case inItem:
		switch string(name) {
		case nameOf[kind]:
			return isName
		case "annotations":
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

// nameOf is the member that an item is called by.
var nameOf = [...]string{
	access.Tool: "name", access.Resource: "uri", access.ResourceTemplate: "uriTemplate", access.Prompt: "name",
}

// beginText begins a string: a name or a value.
func (f *Filter) beginText() {
	f.inText, f.text = true, f.text[:0]
	l := f.level()
	if l.names {
		f.takes = l.place >= inMessage
		return
	}
	f.takes = f.member == isName || f.member == isCursor
	if f.member == isScope {
		f.hold = holdScope
	}
}

// textEnds takes a string.
func (f *Filter) textEnds() {
	if f.skips > 0 {
		return
	}
	l := f.level()
	if !l.names {
		switch {
		case f.member == isName:
			f.noteName()
		case f.member == isCursor && f.takes:
			f.policy.Next(slices.Concat([]byte{'"'}, f.text, []byte{'"'}))
		}
		f.member = isOther
		return
	}
	f.member = isOther
	if f.takes {
		f.member = memberOf(l.place, unescaped(f.text), f.item.kind)
	}
}

// noteName notes what an item is called. One that has two names is bad.
func (f *Filter) noteName() {
	raw := unescaped(f.text)
	name := string(raw)
	f.item.bad = f.item.bad || raw == nil || f.item.named && name != f.item.name
	f.item.name, f.item.named = name, true
}

// unescaped returns what the inner part of a string stands for.
func unescaped(raw []byte) []byte {
	for _, c := range raw {
		if c == '\\' {
			var text string
			if json.Unmarshal([]byte(`"`+string(raw)+`"`), &text) != nil {
				return nil
			}
			return []byte(text)
		}
	}
	return raw
}

var yes, no = true, false

// literal takes the first byte of true and false, as far as they are annotations.
func (f *Filter) literal(c byte) {
	if f.member < isReadOnly || c != 't' && c != 'f' {
		return
	}
	value := &no
	if c == 't' {
		value = &yes
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
