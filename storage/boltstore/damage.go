package boltstore

import (
	"fmt"
	"runtime/debug"
)

// guarded runs fn and returns its panic as an error, with the stack: bbolt has
// no other word for a damaged file. A page that points behind the end of the
// file, which is mapped into memory, would even end the process. The file is
// one site's, and the process everybody's.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("boltstore: the file is damaged, or this program wrong: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}
