package access

import (
	"bytes"
	"encoding/json"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

func decodeArguments(raw json.RawMessage) (map[string]any, error) {
	if raw == nil {
		return map[string]any{}, nil
	}
	// Of names that repeat, or differ in case only, the server may take another.
	if err := strictjson.Check(raw, len(raw)); err != nil {
		return nil, err
	}
	value, err := decodeValue(raw)
	if err != nil {
		return nil, err
	}
	return value.(map[string]any), nil
}

// decodeValue decodes a value. Whole numbers are whole: as floating point, different
// ones would be equal.
func decodeValue(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	return numbers(value)
}

func numbers(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = numbers(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

func number(n json.Number) (any, error) {
	if whole, err := n.Int64(); err == nil {
		return whole, nil
	}
	return n.Float64()
}
