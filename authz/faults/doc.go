// Package faults tells what went wrong on a client's way to an MCP server, whose
// fault it is, and what to do.
//
//	trace.Trace ─▶ Explain ─┬─ All: the known faults of clients, providers and set-ups
//	                        └─ what the last failure means by itself
//
// The catalogue is data: one Fault is one literal, and its Sign recognizes it by the
// steps that happened, and by those that did not. It reads traces, and changes nothing.
package faults
