// Package record writes records as bytes. A value starts with its format's version
// and the time until which it is kept, so that a sweep decides without knowing
// records. What every call or refresh reads is written in binary, the rest is
// JSON, which package kv writes.
//
// It never decides anything: databases of earlier versions are read through it,
// so a layout only grows at its end.
package record
