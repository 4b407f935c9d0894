// Package requestbody reads the bodies of requests that are read here before they are
// passed on, if they are: in time, and any number of times.
//
// It interprets nothing of them.
package requestbody
