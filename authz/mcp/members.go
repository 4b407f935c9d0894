package mcp

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// place is what an object or array is a part of, as far as that matters.
type place uint8

const (
	elsewhere place = iota
	inBatch
	inMessage
	inParams
	inMeta
	inRef
	inNotifications
	inURIs
)

// member is a member that decides what a message is. What a message has had is a set
// of them.
type member uint32

const (
	hasVersion member = 1 << iota
	hasID
	hasMethod
	hasParams
	hasResult
	hasError
	hasName
	hasURI
	hasArguments
	hasRef
	hasMeta
	hasAsked
	hasNotifications
	hasRevision
	hasRefType
	hasRefName
	hasRefURI
	hasURIs
)

// deciding are the members of each place that decide.
var deciding = [...][]struct {
	name   string
	member member
}{
	inMessage: {{"jsonrpc", hasVersion}, {"method", hasMethod}, {"params", hasParams}, {"id", hasID}, {"result", hasResult}, {"error", hasError}},
	inParams: {
		{"name", hasName}, {"arguments", hasArguments}, {"_meta", hasMeta}, {"uri", hasURI}, {"ref", hasRef},
		{"protocolVersion", hasAsked}, {"notifications", hasNotifications},
	},
	inMeta:          {{metaVersion, hasRevision}},
	inRef:           {{"type", hasRefType}, {"name", hasRefName}, {"uri", hasRefURI}},
	inNotifications: {{"resourceSubscriptions", hasURIs}},
	inURIs:          nil,
}

// within are the places that members open.
func (m member) within() place {
	switch m {
	case hasParams:
		return inParams
	case hasMeta:
		return inMeta
	case hasRef:
		return inRef
	case hasNotifications:
		return inNotifications
	case hasURIs:
		return inURIs
	}
	return elsewhere
}

// memberNamed returns which member a name is, 0 for one that decides nothing.
func memberNamed(at place, raw []byte) (member, error) {
	for _, d := range deciding[at] {
		if string(raw) == d.name {
			return d.member, nil
		}
	}
	name, ok := unquote(raw)
	if !ok {
		return 0, errNoCharacter
	}
	folded := spelling.Fold(strings.TrimSpace(name))
	for _, d := range deciding[at] {
		switch {
		case name == d.name:
			return d.member, nil
		case strings.EqualFold(folded, d.name):
			return 0, errSpelling
		}
	}
	return 0, nil
}
