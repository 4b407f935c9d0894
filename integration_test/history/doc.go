// Package history writes down what clients asked several instances and what
// they were answered, and judges it: codes are claimed once, a family has one
// newest refresh token, and nothing that was answered is lost.
//
// A history is right if its operations could have happened one after another,
// each at some moment between its request and its answer (linearizability). An
// operation whose answer was lost may have happened, at any time, or not.
package history
