package config

import (
	"encoding/json"
	"reflect"
	"testing"
)

// Whatever type a field has, an operator is told what to write.
func TestWrongTypeSaysWhatIsWanted(t *testing.T) {
	for want, types := range map[string][]reflect.Type{
		`x: must be a whole number, not true or false`:                           {reflect.TypeFor[int](), reflect.TypeFor[int64](), reflect.TypeFor[*int](), reflect.TypeFor[uint32]()},
		`x: must be a number, not true or false`:                                 {reflect.TypeFor[float64]()},
		`x: must be a text in quotes, not true or false`:                         {reflect.TypeFor[string](), reflect.TypeFor[Mode]()},
		`x: must be a list, not true or false`:                                   {reflect.TypeFor[[]string]()},
		`x: must be an object, not true or false`:                                {reflect.TypeFor[map[string]string](), reflect.TypeFor[*Branding]()},
		`x: must be a duration, such as "15m", "1h" or "30d", not true or false`: {reflect.TypeFor[Duration](), reflect.TypeFor[*Duration]()},
	} {
		for _, typ := range types {
			if got := checkJSON("x", json.RawMessage("true"), typ); got == nil || got.Error() != want {
				t.Errorf("%s: got %v, want %s", typ, got, want)
			}
		}
	}
}
