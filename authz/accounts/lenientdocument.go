package accounts

import (
	"encoding/json"
	"errors"
	"strings"
)

// Providers write members of documents with other types than the standards say.
// What can be read in one way only is read.

// textList is a list of texts; a single text is a list of one, and what is no
// text is no entry.
type textList []string

func (l *textList) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = textList{one}
		return nil
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return err
	}
	*l = textList{}
	for _, entry := range entries {
		if json.Unmarshal(entry, &one) == nil && string(entry) != "null" {
			*l = append(*l, one)
		}
	}
	return nil
}

// scopes returns the scopes in the list, each once. A text may hold several, as
// in the parameter of the name.
func (l textList) scopes() []string { return unionScopes(strings.Fields(strings.Join(l, " "))) }

// flag is true or false, also as text.
type flag bool

func (f *flag) UnmarshalJSON(data []byte) error {
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
