package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Errors of a document. None repeats what it contained.
var (
	ErrSize      = errors.New("strictjson: too large")
	errSyntax    = errors.New("strictjson: not one JSON object in UTF-8")
	errDepth     = errors.New("strictjson: nested too deeply")
	errDuplicate = errors.New("strictjson: member names repeat, or differ only in case")
	ErrType      = errors.New("strictjson: member of the wrong type")
)

var byteOrderMark = []byte("\ufeff")

// maxDepth is more than any document of OAuth needs.
const maxDepth = 16

// Check reports whether data is exactly one JSON object of at most limit bytes
// that can be read in only one way.
func Check(data []byte, limit int) error {
	if len(data) > limit {
		return ErrSize
	}
	if !utf8.Valid(data) {
		return errSyntax
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errSyntax
	}
	if err := checkObject(d, 1); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errSyntax
	}
	return nil
}

// checkObject reads up to the end of an object whose brace was read.
func checkObject(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	names := make(map[string]struct{})
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return errSyntax
		}
		name = fold(name)
		if _, seen := names[name]; seen {
			return errDuplicate
		}
		names[name] = struct{}{}
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	return end(d)
}

// checkArray reads up to the end of an array whose bracket was read.
func checkArray(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	for d.More() {
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	return end(d)
}

func checkValue(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return errSyntax
	}
	switch t {
	case json.Delim('{'):
		return checkObject(d, depth+1)
	case json.Delim('['):
		return checkArray(d, depth+1)
	}
	return nil
}

func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errSyntax
	}
	return nil
}

// fold maps names that encoding/json could take for each other to one string.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && !('A' <= r && r <= 'Z') && r != 'k' && r != 's' {
			// Fast path; K and S also have relatives beyond ASCII.
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// Unmarshal checks data and reads it into the struct that v points to, whose
// fields all have a json tag. Members are matched by exact name; unknown ones
// are ignored, null ones count as absent. A byte order mark before the object
// means nothing (RFC 8259 section 8.1).
func Unmarshal(data []byte, limit int, v any) error {
	data = bytes.TrimPrefix(data, byteOrderMark)
	if err := Check(data, limit); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return errSyntax
	}
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		raw, ok := members[name]
		if !ok || string(raw) == "null" {
			continue
		}
		if err := json.Unmarshal(raw, s.Field(i).Addr().Interface()); err != nil {
			return fmt.Errorf("%w: %s", ErrType, name)
		}
	}
	return nil
}
