package moving

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// notMoved are the tables that are about the database itself, or the processes that work
// with it, and why.
var notMoved = map[string]string{
	"attempts":  "what was committed lately, for whoever lost the answer",
	"locks":     "what a transaction locks",
	"changes":   "what running processes are told",
	"instances": "the running processes",
	"rates":     "what was counted in the last minute",
}

// made are the columns that are made anew, or are moved with another kind.
var made = []string{"keep_until", "body", "number", "queue_sender", "queue_group", "queued_at", "code"}

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE \{\}(\w+) \((.*?)\n\);`)
	column      = regexp.MustCompile(`(?m)^\t(\w+) [a-z]`)
	addColumn   = regexp.MustCompile(`ALTER TABLE \{\}(\w+) ADD COLUMN (?:IF NOT EXISTS )?(\w+)`)
)

// Every table is moved, or there is a reason; and so is every column.
func TestEveryTableIsMoved(t *testing.T) {
	files, err := filepath.Glob("../../migrations/*.sql")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	columns := map[string][]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "CREATE TABLE") != len(createTable.FindAll(text, -1)) {
			t.Errorf("%s has a table that this test cannot read", name)
		}
		for _, m := range createTable.FindAllStringSubmatch(string(text), -1) {
			for _, c := range column.FindAllStringSubmatch(m[2], -1) {
				columns[m[1]] = append(columns[m[1]], c[1])
			}
		}
		for _, m := range addColumn.FindAllStringSubmatch(string(text), -1) {
			columns[m[1]] = append(columns[m[1]], m[2])
		}
	}
	for name, all := range columns {
		moved, is := tables[name]
		if _, reason := notMoved[name]; is == reason {
			t.Errorf("table %s: add it to tables and record.Kinds, or to notMoved with a reason", name)
		}
		for _, c := range all {
			if is && !slices.Contains(moved.columns, c) && !slices.Contains(made, c) {
				t.Errorf("column %s of table %s is empty after a move", c, name)
			}
		}
	}
	for _, k := range record.Kinds {
		if _, kept := tables[k.Name]; !kept && queues[k.Name] == "" || kept && columns[k.Name] == nil {
			t.Errorf("%s is in no table", k.Name)
		}
	}
}
