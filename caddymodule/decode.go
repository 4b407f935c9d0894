package caddymodule

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// UnmarshalJSON names the field of what it cannot read.
func (h *Handler) UnmarshalJSON(data []byte) error {
	type plain Handler
	return decode(data, (*plain)(h))
}

// UnmarshalJSON names the field of what it cannot read.
func (a *App) UnmarshalJSON(data []byte) error {
	type plain App
	return decode(data, (*plain)(a))
}

// decode reads the JSON of a module. Its errors are mistakes.
func decode(data []byte, to any) error {
	if err := checkJSON("", data, reflect.TypeOf(to).Elem()); err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

var (
	durationType = reflect.TypeFor[caddy.Duration]()
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
			if err := checkJSON(index(path, i), entry, t.Elem()); err != nil {
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
	fields := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			fields[name] = t.Field(i).Type
			names = append(names, name)
		}
	}
	order := make([]string, 0, len(members))
	for name := range members {
		order = append(order, name)
	}
	slices.Sort(order)
	for _, name := range order {
		i := slices.IndexFunc(names, func(known string) bool { return strings.EqualFold(known, name) }) // as encoding/json does
		if i < 0 {
			return wrong(join(path, name), "there is no such field%s", choice(name, names))
		}
		if err := checkJSON(join(path, names[i]), members[name], fields[names[i]]); err != nil {
			return err
		}
	}
	return nil
}

func checkJSONValue(path string, data json.RawMessage, t reflect.Type) error {
	if json.Unmarshal(data, reflect.New(t).Interface()) != nil {
		return wrongType(path, data, t)
	}
	return nil
}

// checkJSONDuration refuses zero, too, which would be taken for no value.
func checkJSONDuration(path string, data json.RawMessage) error {
	var d caddy.Duration
	if json.Unmarshal(data, &d) != nil {
		return wrongType(path, data, durationType)
	}
	if d == 0 {
		return wrong(path, "must not be 0; remove it for the default")
	}
	return nil
}

func wrongType(path string, data json.RawMessage, t reflect.Type) error {
	want := map[reflect.Kind]string{
		reflect.Struct: "an object", reflect.Map: "an object", reflect.Slice: "a list", reflect.String: "a text in quotes",
		reflect.Bool: "true or false", reflect.Int: "a whole number",
	}[t.Kind()]
	if t == durationType {
		want = "a duration, such as \"15m\", \"1h\" or \"30d\""
	}
	return wrong(path, "must be %s, not %s", want, kindOfJSON(data))
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
