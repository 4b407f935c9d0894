// Package cluster tests several gateways on one PostgreSQL as they are run: each
// the built program on a host of its own, with a clock of its own, behind a load
// balancer without sticky sessions, while networks, processes and databases
// fail. See main_test.go for how it is run.
package cluster
