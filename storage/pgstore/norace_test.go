//go:build postgres && !race

package pgstore

// They reach everything that a verb can answer.
const usualSchedules = 1000
