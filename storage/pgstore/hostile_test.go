//go:build postgres

package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Whatever strings a verb gets, in all places where there are any, it answers, or
// refuses; it changes no statement, and no connection is lost by it.
func TestHostileStrings_M14(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	s := openAt(t, Options{DSN: server.DSN(), Schema: "hostile"})
	now := time.Now()
	const canary = "canary"
	if err := s.CreateClient(t.Context(), storage.Client{ID: canary, Issuer: canary, ExpiresAt: now.Add(1000 * time.Hour)}, storage.Unused{}); err != nil {
		t.Fatal(err)
	}
	var surrogate string
	if err := json.Unmarshal([]byte(`"\ud800 alone \udc00"`), &surrogate); err != nil {
		t.Fatal(err)
	}
	tables := func() string {
		t.Helper()
		text, err := server.Text(`select string_agg(table_schema || '.' || table_name, ' ' order by 1) from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema')`)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, long := tables(), strings.Repeat("x", 1<<20)
	for name, hostile := range map[string]string{
		"quotes": `'"` + "`" + `\`, "statement": `'; drop table hostile.clients; --`, "placeholder": "$1 {} %s %[1]s ?",
		"dollar quotes": "$$; select pg_sleep(60); $$", "comment": "/* */ --", "null": "a\x00b", "only null": "\x00", "escape": `\x00\u0000\\`,
		"not UTF-8": "\xff\xfe\xc0\x80", "half of a character": "\xe2\x82", "surrogates": surrogate, "empty": "", "spaces": " \t\r\n\u2028\u202e", "long": long,
	} {
		verbs := 0
		for _, contract := range []reflect.Type{
			reflect.TypeFor[storage.Store](), reflect.TypeFor[storage.InstanceStore](), reflect.TypeFor[storage.RateStore](),
		} {
			for m := range contract.NumMethod() {
				method := contract.Method(m)
				if method.Name == "Close" {
					continue
				}
				verbs++
				if hostile == "" && strings.HasSuffix(method.Name, "Connection") {
					continue // a connection without names is none
				}
				err := callWith(t.Context(), reflect.ValueOf(s).MethodByName(method.Name), hostile, now)
				if answer := (*pgconn.PgError)(nil); hostile == long && errors.As(err, &answer) && answer.Code == "54000" {
					continue // nothing that long is found by, so there is no index for it
				}
				switch {
				case err == nil, errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrPlace), errors.Is(err, errPosition),
					errors.Is(err, record.ErrCorrupt): // what is not text is another string once it is stored
				default:
					t.Errorf("%s: %s: %v", name, method.Name, err)
				}
			}
		}
		if verbs < 50 {
			t.Fatalf("%d verbs were called", verbs)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("%s: the store afterwards: %v", name, err)
		}
	}
	if after := tables(); after != before {
		t.Errorf("tables\n%s, want\n%s", after, before)
	}
	if c, err := s.Client(t.Context(), canary, now); err != nil || c.Issuer != canary {
		t.Errorf("the client that was there: %+v, %v", c, err)
	}
}

// callWith calls a verb with the text wherever it takes one, and returns its error.
func callWith(ctx context.Context, verb reflect.Value, text string, now time.Time) error {
	in, until := make([]reflect.Value, verb.Type().NumIn()), now.Add(2*time.Hour)
	for i := range in {
		in[i] = reflect.New(verb.Type().In(i)).Elem()
		if i == 0 {
			in[i].Set(reflect.ValueOf(ctx))
			continue
		}
		fill(in[i], text, until)
		until = until.Add(-time.Minute) // what ends is named before what time it is
		fit(in[i].Addr().Interface())
	}
	out := verb.Call(in)
	err, _ := out[len(out)-1].Interface().(error)
	return err
}

// fit makes what was filled fit together where a store refuses it otherwise.
func fit(argument any) {
	switch a := argument.(type) {
	case *storage.Submission:
		a.Session, a.Adopt = storage.Hash{}, nil
		a.Begins.Session = a.Session
	case *storage.ServiceGrant:
		a.Grant.RefreshToken, a.Grant.AccessTokens, a.Grant.Chosen, a.Access.Chosen = nil, nil, nil, nil
		a.Access.Identity = a.Grant.Identity
	case *storage.PersonLogin:
		a.Browser = nil
		a.Flow.Session, a.Flow.Submitted, a.Flow.Identity = storage.Hash{}, false, a.Person.Identity()
	}
}

// fill puts the text into all that can have it.
func fill(v reflect.Value, text string, when time.Time) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(when))
		return
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		document, err := json.Marshal(text)
		if err != nil {
			panic(err) // of a string there is always one
		}
		v.SetBytes(document)
		return
	}
	if c, ok := v.Addr().Interface().(*storage.Choice); ok { // as far as one can be stored
		*c = storage.Choice{Resource: text, Others: storage.NoOthers}
		if text != "" && len(text) <= storage.MaxChosenLength {
			c.Tools, c.Without = []string{text}, []string{text}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, when)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text, when)
	case reflect.Array:
		copy(v.Slice(0, v.Len()).Bytes(), text)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), text, when)
			}
		}
	case reflect.Func:
		v.Set(reflect.MakeFunc(v.Type(), func([]reflect.Value) []reflect.Value { return []reflect.Value{reflect.Zero(v.Type().Out(0))} }))
	}
}
