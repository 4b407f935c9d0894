package oauth

import (
	"encoding/json"
	"errors"
	"strings"
)

// Providers write members of documents with other types than the standards say.
// What can be read in one way only is read.

// Strings is a list of texts; a single text is a list of one, and what is no
// text is no entry.
type Strings []string

func (l *Strings) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = Strings{one}
		return nil
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return err
	}
	*l = Strings{}
	for _, entry := range entries {
		if json.Unmarshal(entry, &one) == nil && string(entry) != "null" {
			*l = append(*l, one)
		}
	}
	return nil
}

// Scopes returns the scopes in the list, each once. A text may hold several, as
// in the parameter of the name.
func (l Strings) Scopes() []string { return UnionScopes(strings.Fields(strings.Join(l, " "))) }

// Bool is true or false, also as text.
type Bool bool

func (f *Bool) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(strings.Trim(string(data), `"`)) {
	case "true":
		*f = true
	case "false", "":
		*f = false
	default:
		return errors.New("neither true nor false")
	}
	return nil
}
