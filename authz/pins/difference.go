package pins

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is what two definitions have different.
type Change struct {
	// Field is where, such as description or inputSchema.properties.path.description.
	Field string
	// Before and After are empty where there is nothing. They are the server's words.
	Before, After string
}

const (
	// maxOfField bounds what is shown of the difference in one field: a field with many
	// changes hides none of another.
	maxOfField = 32
	// NotKept is the field of a change that cannot be shown in whole.
	NotKept = "(more than is kept or shown of the definitions)"
)

// Difference returns what a definition has other than one before it, which may be nil.
// Its last change is NotKept if they may differ in more than the others show.
func Difference(before, after *Definition) (changes []Change) {
	whole := after.Texts != nil
	if before == nil {
		before = new(Definition)
	} else {
		whole = whole && before.Texts != nil
	}
	for _, field := range append(slices.Clip(compared), wholeField) {
		a, b := before.Texts[field], after.Texts[field]
		if a == b || after.Texts == nil {
			continue
		}
		whole = whole && !isCut(a) && !isCut(b)
		of := []Change{{field, a, b}}
		x, isObject := object(a)
		y, areObjects := object(b)
		if isObject && areObjects {
			of = differ(nil, field, x, y)
		}
		whole = whole && len(of) <= maxOfField
		changes = append(changes, of[:min(len(of), maxOfField)]...)
	}
	if !whole || len(changes) == 0 {
		changes = append(changes, Change{Field: NotKept})
	}
	return changes
}

// object reads a text that is a JSON object as define writes them: one that is written
// otherwise is a text in which a server can have more than its members. Numbers stay as
// they are written.
func object(text string) (members map[string]any, is bool) {
	if isCut(text) || !strings.HasPrefix(text, "{") || canonical(json.RawMessage(text)) != text {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return members, d.Decode(&members) == nil && members != nil
}

// differ adds what two objects have different, member by member.
func differ(changes []Change, at string, before, after map[string]any) []Change {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, hadIt := before[name]
		b, hasIt := after[name]
		x, isObject := a.(map[string]any)
		y, areObjects := b.(map[string]any)
		switch {
		case isObject && areObjects:
			changes = differ(changes, at+"."+name, x, y)
		case hadIt != hasIt || !reflect.DeepEqual(a, b):
			old, now := shown(a, hadIt), shown(b, hasIt)
			if old == now { // such as 1 and "1"
				old, now = inJSON(a, hadIt), inJSON(b, hasIt)
			}
			changes = append(changes, Change{at + "." + name, old, now})
		}
	}
	return changes
}

// shown returns a value as who approves reads it.
func shown(value any, there bool) string {
	if text, isText := value.(string); isText {
		return text
	}
	return inJSON(value, there)
}

// inJSON returns a value as JSON, and nothing for none.
func inJSON(value any, there bool) string {
	if !there {
		return ""
	}
	text, _ := json.Marshal(value) // of what was decoded
	return string(text)
}
