package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Decode reads the JSON of a module. Its errors name the field.
func Decode(data []byte, to any) error {
	if err := checkJSON("", data, reflect.TypeOf(to).Elem()); err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

var (
	durationType = reflect.TypeFor[Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

// checkJSON checks that the JSON fits the type, as strictly as Caddy does.
func checkJSON(path string, data json.RawMessage, t reflect.Type) error {
	switch {
	case string(data) == "null" || t == rawType:
		return nil
	case t == durationType:
		return checkJSONDuration(path, data)
	}
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem() == durationType { // which can be zero
			return checkJSONValue(path, data, t.Elem())
		}
		return checkJSON(path, data, t.Elem())
	case reflect.Struct:
		return checkJSONObject(path, data, t)
	case reflect.Map:
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) != nil {
			return wrongType(path, data, t)
		}
		for name, member := range members {
			if err := checkJSON(join(path, name), member, t.Elem()); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		var entries []json.RawMessage
		if json.Unmarshal(data, &entries) != nil {
			return wrongType(path, data, t)
		}
		for i, entry := range entries {
			if err := checkJSON(Index(path, i), entry, t.Elem()); err != nil {
				return err
			}
		}
		return nil
	default:
		return checkJSONValue(path, data, t)
	}
}

func checkJSONObject(path string, data json.RawMessage, t reflect.Type) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return wrongType(path, data, t)
	}
	names, fields := jsonFields(t)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		i := slices.IndexFunc(names, func(known string) bool { return strings.EqualFold(known, name) }) // as encoding/json does
		if i < 0 {
			return Errorf(join(path, name), "there is no such field%s", Choice(name, names))
		}
		if err := checkJSON(join(path, names[i]), members[name], fields[names[i]]); err != nil {
			return err
		}
	}
	return nil
}

// jsonFields returns the members of an object, in order.
func jsonFields(t reflect.Type) (names []string, types map[string]reflect.Type) {
	types = map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct { // its members are those of the object
			inner, innerTypes := jsonFields(f.Type)
			names = append(names, inner...)
			maps.Copy(types, innerTypes)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
			types[name] = f.Type
		}
	}
	return names, types
}

func checkJSONValue(path string, data json.RawMessage, t reflect.Type) error {
	if json.Unmarshal(data, reflect.New(t).Interface()) != nil {
		return wrongType(path, data, t)
	}
	return nil
}

// checkJSONDuration refuses zero, too, which would be taken for no value.
func checkJSONDuration(path string, data json.RawMessage) error {
	var d Duration
	if json.Unmarshal(data, &d) != nil {
		return wrongType(path, data, durationType)
	}
	if d == 0 {
		return Errorf(path, "must not be 0; remove it for the default")
	}
	return nil
}

// described is a type of this package with JSON of its own.
type described interface {
	// describe says what an operator writes.
	describe() string
}

func wrongType(path string, data json.RawMessage, t reflect.Type) error {
	return Errorf(path, "must be %s, not %s", wanted(t), kindOfJSON(data))
}

// wanted says what a value of the type is in JSON.
func wanted(t reflect.Type) string {
	if d, ok := reflect.Zero(t).Interface().(described); ok {
		return d.describe()
	}
	switch k := t.Kind(); k {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		if k >= reflect.Int && k <= reflect.Uint64 {
			return "a whole number"
		}
		return "something else"
	}
}

// kindOfJSON tells what a value is without showing it: it can be a secret.
func kindOfJSON(data json.RawMessage) string {
	switch data = bytes.TrimSpace(data); {
	case len(data) == 0:
		return "nothing"
	case data[0] == '{':
		return "an object"
	case data[0] == '[':
		return "a list"
	case data[0] == '"':
		return "this text"
	case data[0] == 't' || data[0] == 'f':
		return "true or false"
	default:
		return "this number"
	}
}

// join returns the path of a member.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// firstSet returns the name of the first field, by name, that is set and of
// which suspect reports true; "" if there is none.
func (a *Auth) firstSet(suspect func(name string) bool) string {
	value, first := reflect.ValueOf(*a), ""
	for _, f := range reflect.VisibleFields(value.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.Anonymous && isSet(value.FieldByIndex(f.Index)) && suspect(name) && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

func isSet(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() > 0
	}
	return !v.IsZero()
}
