package boltstore

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// errDamaged is behind every error that is due to the content of the file.
var errDamaged = errors.New("the file is damaged; stop Caddy and restore it from a backup, or move it away to start with an empty one")

// foundDamage is errDamaged, and what is wrong with the file.
type foundDamage string

func (d foundDamage) Error() string { return fmt.Sprintf("%v (%s)", errDamaged, string(d)) }
func (d foundDamage) Unwrap() error { return errDamaged }

func damaged(format string, args ...any) error { return foundDamage(fmt.Sprintf(format, args...)) }

// guarded runs fn and returns its panic as an error: bbolt has no other word
// for a damaged file. A page that points behind the end of the file, which is
// mapped into memory, would even end the process. The file is one site's, and
// the process everybody's.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = asError(p)
		}
	}()
	return fn()
}

// asError tells damage, which bbolt or the processor found, from a mistake in
// this program, for which the stack is needed.
func asError(p any) error {
	if err, ok := p.(error); ok && errors.Is(err, errDamaged) {
		return err
	}
	if _, fault := p.(interface{ Addr() uintptr }); fault || panickedIn("go.etcd.io/bbolt") {
		return damaged("%v", p)
	}
	return fmt.Errorf("boltstore: panic: %v\n%s", p, debug.Stack())
}

// panickedIn reports whether the function that panicked is in the module. It
// is called while the panic is recovered.
func panickedIn(module string) bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for panicking := false; ; {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return strings.HasPrefix(frame.Function, module)
		}
		if !more {
			return false
		}
	}
}
