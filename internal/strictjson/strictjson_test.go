package strictjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCheck_G08(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want error
	}{
		"object":                  {`{"a":1,"b":[{"a":1},{"a":2}],"c":{"a":{}}}`, nil},
		"empty object":            {` {} `, nil},
		"empty":                   {``, errSyntax},
		"array":                   {`[]`, errSyntax},
		"text":                    {`"a"`, errSyntax},
		"null":                    {`null`, errSyntax},
		"byte order mark":         {"\ufeff{}", errSyntax},
		"unfinished":              {`{"a":1`, errSyntax},
		"unfinished array":        {`{"a":[1`, errSyntax},
		"trailing object":         {`{}{}`, errSyntax},
		"trailing garbage":        {`{} x`, errSyntax},
		"trailing bracket":        {`{}]`, errSyntax},
		"name is no text":         {`{1:2}`, errSyntax},
		"trailing comma":          {`{"a":1,}`, errSyntax},
		"comment":                 {`{/**/}`, errSyntax},
		"not UTF-8":               {"{\"a\":\"\xff\"}", errSyntax},
		"repeated":                {`{"a":1,"a":1}`, errDuplicate},
		"other case":              {`{"redirect_uris":1,"REDIRECT_URIS":2}`, errDuplicate},
		"long s":                  {`{"jwks":1,"jwk\u017f":2}`, errDuplicate},
		"kelvin":                  {`{"jwks":1,"jw\u212as":2}`, errDuplicate},
		"escaped":                 {`{"a":1,"\u0061":2}`, errDuplicate},
		"repeated inside":         {`{"x":[{"y":{"a":1,"A":1}}]}`, errDuplicate},
		"accents in another case": {`{"\u00e9":1,"\u00c9":2}`, errDuplicate},
		"same names in siblings":  {`{"x":{"a":1},"y":{"a":1}}`, nil},
		"deep":                    {strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth), nil},
		"too deep":                {strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1), errDepth},
		"too deep in arrays":      {`{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, errDepth},
		"too large":               {`{"a":"` + strings.Repeat("x", 20_000) + `"}`, ErrSize},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Check([]byte(tc.data), 12_000); !errors.Is(err, tc.want) || tc.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

type document struct {
	Name  string          `json:"name,omitempty"`
	URIs  []string        `json:"uris"`
	Other json.RawMessage `json:"other"`
}

func TestUnmarshal(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want document
		err  error
	}{
		"all":                          {`{"name":"n","uris":["a"],"other":{"x":1},"unknown":1}`, document{"n", []string{"a"}, json.RawMessage(`{"x":1}`)}, nil},
		"null is absent":               {`{"name":null,"uris":null,"other":null}`, document{}, nil},
		"other case is another member": {`{"NAME":"n"}`, document{}, nil},
		"wrong type":                   {`{"name":["n"]}`, document{}, ErrType},
		"wrong element type":           {`{"uris":[1]}`, document{}, ErrType},
		"repeated":                     {`{"name":"a","Name":"b"}`, document{}, errDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			var got document
			err := Unmarshal([]byte(tc.data), 1000, &got)
			if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err == nil && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), `"n"`) {
				t.Error("the error repeats what the document contained")
			}
		})
	}
}

// Whatever passes means the same to encoding/json, which other parts and other
// programs read it with.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`{"name":"n","uris":["a","b"],"other":{"a":[1,2,{"b":null}]}}`, `{"name":"a","NAME":"b"}`, `{"a":1}{}`,
		`{"urI\u017f":["x"]}`, "{\"\xff\":1}", `[[[[`, `{"name":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict document
		if err := Unmarshal(data, 1<<12, &strict); err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("passed what is not JSON")
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for name := range members {
			for other := range seen {
				if strings.EqualFold(name, other) {
					t.Fatalf("%q and %q both passed", name, other)
				}
			}
			seen[name] = true
		}
		var lax document
		if err := json.Unmarshal(data, &lax); err != nil {
			return // a member in another case may have the wrong type
		}
		if strict.Name != "" && strict.Name != lax.Name {
			t.Fatalf("read %q and %q", strict.Name, lax.Name)
		}
	})
}

func TestByteOrderMark(t *testing.T) {
	var v struct {
		A string `json:"a"`
	}
	if err := Unmarshal([]byte("\ufeff"+`{"a":"b"}`), 100, &v); err != nil || v.A != "b" {
		t.Errorf("read %q, %v", v.A, err)
	}
	for _, bad := range []string{"\ufeff\ufeff{}", "{}\ufeff", " \ufeff{}", "\ufeff"} {
		if err := Unmarshal([]byte(bad), 100, &v); !errors.Is(err, errSyntax) {
			t.Errorf("%q: %v, want errSyntax", bad, err)
		}
	}
	// A request goes on to readers that may not know the mark.
	if err := Check([]byte("\ufeff{}"), 100); !errors.Is(err, errSyntax) {
		t.Errorf("Check: %v, want errSyntax", err)
	}
}
