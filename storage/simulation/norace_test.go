//go:build !race

package simulation_test

// They reach everything that a verb can answer.
const usualSchedules = 1000
