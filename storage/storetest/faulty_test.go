package storetest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Every verb can be made to fail: one that is promoted from the store inside
// would panic here.
func TestFaultyHasEveryVerb(t *testing.T) {
	verbs := reflect.TypeFor[storage.Store]()
	for i := range verbs.NumMethod() {
		verb := verbs.Method(i).Name
		if verb == "Close" {
			continue
		}
		t.Run(verb, func(t *testing.T) {
			f := NewFaulty(nil)
			f.Fail(verb)
			method := reflect.ValueOf(f).MethodByName(verb)
			var arguments []reflect.Value
			for j := range method.Type().NumIn() {
				arguments = append(arguments, reflect.Zero(method.Type().In(j)))
			}
			results := method.Call(arguments)
			if err, _ := results[len(results)-1].Interface().(error); !errors.Is(err, ErrDisk) {
				t.Errorf("got %v, want %v", err, ErrDisk)
			}
			if called := f.Called(); len(called) != 1 || called[0] != verb {
				t.Errorf("called %v", called)
			}
		})
	}
}
