//go:build race

package simulation_test

// The race detector makes each cost ten times as much.
const usualSchedules = 100
