// Package trial calls what takes a test where there is none (Standalone), or where the
// test goes on if it fails (Try). It knows nothing of what that does.
package trial
