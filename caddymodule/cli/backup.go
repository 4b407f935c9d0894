package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Backs up the database of the running Caddy",
		Long: `Writes the database of the running Caddy, as it is at one moment, into a file that only
its owner may read. The file is there when it is complete, checked and on disk. With -
it goes to the standard output.

In it is all that the sites keep: who uses what, registrations, grants, connected
accounts. Tokens of the sites are in it as hashes, those of providers sealed. The
encryption key is not: keep a copy of that elsewhere, as without it the accounts have
to be connected again, and with it whoever has the backup has them.`,
		Args: cobra.ExactArgs(1),
		RunE: runs(backup),
	}
	cmd.Flags().Bool("force", false, "replace the file if it is there")
	return cmd
}

// BackedUp is what a backup came to.
type BackedUp struct {
	File    string    `json:"file"`
	Bytes   int64     `json:"bytes"`
	TakenAt time.Time `json:"taken_at"`
	// Records counts what is in it.
	Records map[string]int `json:"records"`
	// Sealed counts what is sealed, by the name of the key that is needed.
	Sealed map[string]int `json:"sealed"`
}

func backup(i *invocation) error {
	if i.args[0] == "-" {
		return fetchBackup(i, i.cmd.OutOrStdout())
	}
	path, err := filepath.Abs(i.args[0])
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !i.is("force") {
		return fmt.Errorf("%s is there already, and stays as it is; name another file, or add --force to replace it", path)
	}
	var report *boltstore.Report
	err = newfile.Replace(path, func(f *os.File) error {
		if err := fetchBackup(i, f); err != nil {
			return err
		}
		report, err = boltstore.CheckFile(i.cmd.Context(), f.Name(), boltstore.Checker{Now: time.Now()})
		return err
	})
	if err != nil {
		return fmt.Errorf("no backup was made: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	made := BackedUp{path, info.Size(), report.TakenAt, report.Records, report.Sealed}
	if err := i.print(made, &table{none: fmt.Sprintf("%s: %s, %s.", path, sizeOf(made.Bytes), plural(total(report.Records), "record"))}); err != nil {
		return err
	}
	for id, n := range report.Sealed {
		i.say("To be of use it needs the encryption key %s, which has sealed %d and is not in it: keep a copy of that elsewhere.", id, n)
	}
	if !report.Sound() {
		tellReport(i, *report, false)
		return errors.New("the backup is complete, but the database has faults; see caddy mcp-oauth check")
	}
	return nil
}

func total(counts map[string]int) (n int) {
	for _, of := range counts {
		n += of
	}
	return n
}

// fetchBackup writes what the admin API sends.
func fetchBackup(i *invocation, w io.Writer) error {
	api, err := i.adminAPI()
	if err != nil {
		return err
	}
	res, err := api.Send(i.cmd.Context(), http.MethodGet, adminapi.BackupPath, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	n, err := io.Copy(w, res.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && n != res.ContentLength {
		return errors.New("Caddy ended, or was told to, while it sent the backup; see its log, and try again")
	}
	return err
}

// stopFirst says what to do about a database that is in use.
func stopFirst(err error) error {
	if errors.Is(err, storage.ErrInUse) {
		return fmt.Errorf("a Caddy runs with this database: stop it first (caddy stop, or systemctl stop caddy); nothing was changed: %w", err)
	}
	return err
}
