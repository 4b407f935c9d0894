// Package suite is what the suites of storetest share: a store under test, with
// a clock, people, and the ways to sign them in and connect their accounts.
package suite
