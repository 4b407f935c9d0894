package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Installation is what a configuration keeps its records in.
type Installation struct {
	// Path is of the database file; empty if it is none.
	Path string
	// Store names the store, as in "bbolt /path".
	Store string
	// Keys are the encryption keys, nil if KeysFailure says why there are none.
	Keys        *seal.Keyring
	KeysFailure error
	// Open opens the store.
	Open func(context.Context) (storage.Store, error)
	// Move is from where, or to where, the records can be moved; nil if they cannot.
	Move move.Place
}

// Installed reads an installation from a configuration, as JSON, without running it.
// Package caddymodule sets it.
var Installed func(config []byte) (Installation, error)

// offline adds the flags of a command that works without a running Caddy.
func offline(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("database", "", "the database file, if --config is not to say which")
	cmd.Flags().StringArray("key-file", nil, "a file with an encryption key, for each one, if --config is not to say which")
	return cmd
}

// findInstallation returns which database and keys the flags mean.
func findInstallation(i *invocation) (in Installation, err error) {
	if file := i.text("config"); file != "" {
		if in, err = installation(file, i.text("adapter")); err != nil {
			return in, err
		}
	}
	if path := i.text("database"); path != "" {
		in.Path = path
	} else if in.Path == "" && in.Store != "" {
		return in, fmt.Errorf("the configuration keeps its records in %s, which is no file; use the tools of that database", in.Store)
	}
	files, _ := i.cmd.Flags().GetStringArray("key-file")
	if len(files) == 0 {
		return in, nil
	}
	keys := make([][]byte, len(files))
	for n, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return in, err
		}
		if keys[n], err = encryptionkey.Parse(strings.TrimSpace(string(text)), false); err != nil {
			return in, fmt.Errorf("the content of %s %w", file, err)
		}
	}
	in.Keys, err = seal.NewKeyring(keys...)
	in.KeysFailure = nil
	return in, err
}

// installation reads that of a configuration.
func installation(file, adapter string) (in Installation, err error) {
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return in, err
	}
	if in, err = Installed(config); err != nil {
		return in, fmt.Errorf("%s: %w", file, err)
	}
	return in, nil
}

var errWhichDatabase = errors.New("say which database: --config with the configuration that Caddy runs with, or --database with the file")

func checkCommand() *cobra.Command {
	return offline(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Checks the database, or a backup",
		Long: `Checks the database of the running Caddy: each page, each record, what finds records
and what is sealed. Nobody waits for it.

With FILE, or --database, it checks a file that no Caddy has open, such as a backup,
and changes nothing in it. With --config or --key-file it tries the encryption keys
too. The exit status is 1 if anything is wrong.`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(check),
	})
}

func check(i *invocation) error {
	path := i.text("database")
	if len(i.args) > 0 {
		path = i.args[0]
	}
	var report boltstore.Report
	var tried bool
	if path == "" {
		answer, err := get[boltstore.Report](i, adminapi.CheckPath, nil)
		if err != nil {
			return err
		}
		report, tried = answer, true
	} else {
		in, err := findInstallation(i)
		if err != nil {
			return err
		}
		found, err := boltstore.CheckFile(i.cmd.Context(), path, boltstore.Checker{Keys: in.Keys, Now: time.Now()})
		if err != nil {
			return err
		}
		report, tried = *found, in.Keys != nil
	}
	if err := i.print(report, reportTable(report)); err != nil {
		return err
	}
	tellReport(i, report, tried)
	if !report.Sound() {
		return fmt.Errorf("%s", plural(len(report.Faults)+report.More, "fault"))
	}
	return nil
}

// reportTable lists the records of a report.
func reportTable(r boltstore.Report) *table {
	t := &table{heads: []string{"RECORDS", "NUMBER"}, none: "There is no record."}
	for _, kind := range slices.Sorted(maps.Keys(r.Records)) {
		t.add(kind, fmt.Sprint(r.Records[kind]))
	}
	return t
}

// tellReport says what a report says besides.
func tellReport(i *invocation, r boltstore.Report, triedKeys bool) {
	now := time.Now()
	if !r.TakenAt.IsZero() {
		i.say("The backup was taken %s, and is what was written then.", when(r.TakenAt, now))
	}
	if !r.NewestUse.IsZero() {
		i.say("A token was last issued %s.", when(r.NewestUse, now))
	}
	for _, id := range slices.Sorted(maps.Keys(r.Sealed)) {
		i.say("The key %s has sealed %d.", id, r.Sealed[id])
	}
	switch {
	case r.Unopened > 0:
		i.say("%d that are sealed do not open with the encryption keys.", r.Unopened)
	case triedKeys && len(r.Sealed) > 0:
		i.say("The encryption keys open all that is sealed.")
	case len(r.Sealed) > 0:
		i.say("Whether the encryption keys open it was not tried: add --config or --key-file.")
	}
	for _, fault := range r.Faults {
		i.say("%s", fault)
	}
	if r.More > 0 {
		i.say("… and %d more.", r.More)
	}
	if r.Sound() {
		i.say("Nothing is wrong.")
	}
}

func compactCommand() *cobra.Command {
	return offline(&cobra.Command{
		Use:   "compact",
		Short: "Makes the database file smaller, while Caddy is stopped",
		Long: `Writes the database file anew, without the room that what was removed has left. Caddy
has to be stopped: say which file with --config or --database. The file stays as it is
until the new one is complete, for which there has to be room on the disk.`,
		Args: cobra.NoArgs,
		RunE: runs(compact),
	})
}

// Compacted is what a compaction came to.
type Compacted struct {
	Database string `json:"database"`
	Before   int64  `json:"bytes_before"`
	After    int64  `json:"bytes_after"`
}

func compact(i *invocation) error {
	in, err := findInstallation(i)
	if err != nil {
		return err
	}
	if in.Path == "" {
		return errWhichDatabase
	}
	before, after, err := boltstore.Compact(in.Path, boltstore.Options{Timeout: lockPatience})
	if err != nil {
		return stopFirst(err)
	}
	return i.print(Compacted{in.Path, before, after}, &table{none: fmt.Sprintf("%s has %s now, and had %s.", in.Path, sizeOf(after), sizeOf(before))})
}

// lockPatience is how long a command waits for a Caddy that stops.
const lockPatience = 2 * time.Second

func sizeOf(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d kB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
}
