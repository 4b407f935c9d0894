package pins

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	// maxText bounds what is kept of one field, to show differences.
	maxText = 4 << 10
	// maxDefinition bounds a definition that is read; a larger one is only hashed.
	maxDefinition = 256 << 10
)

// compared are the fields that make a definition, but for the name.
var compared = []string{"title", "description", "inputSchema", "outputSchema", "annotations"}

// wholeField is what a definition has in place of its fields that could be read in
// several ways: its beginning.
const wholeField = "definition"

// Hash is of a definition. Two that differ only in how their JSON is written have one.
type Hash [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return errors.New("pins: not the hash of a definition")
	}
	copy(h[:], b)
	return nil
}

// Definition is how a server defines a tool.
type Definition struct {
	Hash Hash `json:"hash"`
	// At is when it was approved or, while it is pending, first seen.
	At time.Time `json:"at"`
	// By says who approved it: ByFirstList or ByOperator. Empty while it is pending.
	By string `json:"by,omitempty"`
	// Texts are what is kept of its fields, cut: texts as they are, others as JSON. Nil if
	// there was no room.
	Texts map[string]string `json:"texts,omitempty"`
}

// Who approved a definition.
const (
	ByFirstList = "first_list"
	ByOperator  = "operator"
)

// define reads a definition.
func define(raw []byte) Definition {
	sum := sha256.New()
	var members map[string]json.RawMessage
	if strictjson.Check(raw, maxDefinition) != nil || json.Unmarshal(raw, &members) != nil || !areSpeltAsKnown(members) {
		_, _ = sum.Write([]byte(wholeField)) // readers could take it for different ones
		_, _ = sum.Write(raw)
		return Definition{Hash: Hash(sum.Sum(nil)), Texts: map[string]string{wholeField: cut(string(raw))}}
	}
	d := Definition{Texts: map[string]string{}}
	for _, field := range compared {
		text := canonical(members[field])
		_, _ = sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		_, _ = sum.Write([]byte(text))
		var plain string
		if json.Unmarshal([]byte(text), &plain) == nil {
			text = plain
		}
		if text != "" {
			d.Texts[field] = cut(text)
		}
	}
	d.Hash = Hash(sum.Sum(nil))
	return d
}

// areSpeltAsKnown reports whether none of the members is one of those that are compared
// in another spelling, for which some readers take it, and which would not be compared.
func areSpeltAsKnown(members map[string]json.RawMessage) bool {
	for name := range members {
		if slices.ContainsFunc(compared, func(field string) bool {
			return name != field && spelling.Fold(name) == spelling.Fold(field)
		}) {
			return false
		}
	}
	return true
}

// canonical returns a value as it is always written, whoever writes it.
func canonical(raw json.RawMessage) string {
	if raw == nil {
		return ""
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return string(raw)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // of what was decoded
	return strings.TrimSuffix(text.String(), "\n")
}

// cut returns as much of a text as is kept. Two that differ only beyond that do not
// become the same: the hash of all of it stands in the place of the rest.
func cut(text string) string {
	valid := strings.ToValidUTF8(text, "\ufffd")
	if len(valid) <= maxText {
		return valid
	}
	begins := strings.ToValidUTF8(valid[:min(len(valid), maxText)], "")
	return fmt.Sprintf("%s… (%d bytes, SHA-256 %x)", begins, len(text), sha256.Sum256([]byte(text)))
}

// isCut reports whether a text is what cut made of a longer one.
func isCut(text string) bool { return len(text) > maxText }

func (d *Definition) size() (n int) {
	for field, text := range d.Texts {
		n += len(field) + len(text)
	}
	return n
}
