// Package moving is the side of a move that a PostgreSQL database is. It knows which
// columns each table has beside the record, and keeps the mark. It decides nothing:
// package pgstore opens the database, and refuses one that has a mark.
package moving
