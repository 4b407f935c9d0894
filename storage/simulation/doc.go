// Package simulation proves that an implementation keeps the storage.Store
// contract whatever happens around it. From one seed number it makes a schedule:
// which verb two to five instances call, with which arguments and clocks, and
// what fails in the meantime. It runs the schedule on the store and judges the
// answers by a model.
//
//	func TestSchedules(t *testing.T) {
//		simulation.Run(t, simulation.Options{Schedules: 1000}, func(t *testing.T) simulation.System { … })
//	}
//
//	seed ──▶ schedule   verbs, sweeps, crashes, lost and late answers, clocks
//	     ──▶ history    who called what, and what they were told
//	     ──▶ model      is there an order of the calls in which each answer is right?
//
// The model is the contract once more, as plainly as it can be said: maps that
// are copied, no index, no transaction. A call takes effect at one moment between
// its begin and its end; one whose answer nobody saw may have taken effect or
// not, so that the model goes on with both. A history that leaves no possibility
// is a failure: it is printed with its seed, cut down to the calls that it takes.
//
// What happens between a store and its server is scheduled too, if the store's
// connections go through a Network: each request is held back until its turn
// comes, and requests, answers and connections get lost.
//
// A store for several processes (storage.Watcher, InstanceStore, RateStore) is told in
// some schedules to take rates and name instances as well, beside a process that
// remembers what it reads until it is told of a change: what it still remembers has to
// be so.
//
// It owns no store, and knows the contract only. Package storetest has each rule
// as a test of its own; this one finds what nobody thought of.
package simulation
