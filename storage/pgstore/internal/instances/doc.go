// Package instances keeps who else works on a schema, and counts events for all of
// them, by the database's clock. It knows of no records.
package instances
