// Package persontest proves storage.PersonStore, and what persons do to records.
package persontest
