package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
)

// askEvery is how often --wait asks how far it is.
const askEvery = 2 * time.Second

func rotateKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Helps to change the encryption key, and tells how far that is",
		Long: `Tells which encryption keys Caddy runs with, what each has sealed, and when those
behind the first may leave the configuration.

With --new FILE it first makes a key, writes it into the file, which only its owner
may read, and says what to put into the configuration. Nothing else changes until
Caddy is reloaded with that. Then all that older keys have sealed is sealed anew in
the background; --wait waits for the end of it.

With --lost KEY it says that nobody has a key any more with which the Caddys on a
database encrypt, so that those with another one no longer refuse to use it. The log
names it then. Clients sign in again, and people connect their accounts again.`,
		Args: cobra.NoArgs,
		RunE: runs(rotateKey),
	}
	cmd.Flags().String("new", "", "make a key and write it into this file, which must not exist; - prints it")
	cmd.Flags().Bool("wait", false, "wait until the first key has sealed everything")
	cmd.Flags().String("lost", "", "the name of a key that is lost: what it sealed can never be read again")
	cmd.MarkFlagsMutuallyExclusive("new", "wait", "lost")
	confirmable(cmd)
	return cmd
}

func rotateKey(i *invocation) error {
	if i.cmd.Flags().Changed("new") {
		return makeEncryptionKey(i, i.text("new"))
	}
	if i.text("lost") != "" {
		return declareKeyLost(i, i.text("lost"))
	}
	for {
		answer, err := get[rotation.EncryptionKeys](i, adminapi.EncryptionKeysPath, nil)
		if err != nil {
			return err
		}
		if answer.Done || !i.is("wait") {
			return printRotation(i, answer)
		}
		if answer.Superseded {
			return errors.New("another Caddy on the same database was configured later with another first key; give all the same keys in the same order, and reload them")
		}
		if err := sleep(i.cmd.Context(), askEvery); err != nil {
			return err
		}
	}
}

// declareKeyLost has Caddy use a database without the key that sealed what is in it.
func declareKeyLost(i *invocation, key string) error {
	if err := i.confirm("What the key %s has sealed can never be read again: clients sign in again, and people connect their accounts again.", key); err != nil {
		return err
	}
	answer, err := send[adminapi.LostKey](i, http.MethodDelete, adminapi.EncryptionKeysPath+"/"+url.PathEscape(key), nil, nil)
	if err != nil {
		return err
	}
	return i.print(answer, &table{none: "The database is used without the key " + answer.Lost + " within half a minute."})
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func printRotation(i *invocation, answer rotation.EncryptionKeys) error {
	t, now := &table{heads: []string{"KEY", "FROM", "HAS SEALED", "MAY GO"}, cut: []string{"FROM", "HAS SEALED"}}, time.Now()
	for _, k := range answer.Keys {
		t.add(k.ID, k.Source, sealedBy(k, answer), mayGo(k, answer, now))
	}
	if err := i.print(answer, t); err != nil {
		return err
	}
	if n := answer.Unreadable.Total(); n > 0 {
		i.say("No key opens %d more (%s): put the key that sealed them behind the others.", n, counted(answer.Unreadable))
	}
	if answer.Waits {
		i.say("The first key encrypts as soon as all Caddys on the database have it: caddy mcp-oauth instances shows which have.")
	}
	if answer.Superseded {
		i.say("Another Caddy on the same database was configured later with another first key: give all the same keys in the same order.")
	}
	return nil
}

// sealedBy says what a key has sealed.
func sealedBy(k rotation.EncryptionKey, of rotation.EncryptionKeys) string {
	if of.CheckedAt.IsZero() {
		return "being counted"
	}
	if k.Sealed.Total() == 0 {
		return "nothing"
	}
	return counted(k.Sealed)
}

// mayGo says when a key may leave the configuration.
func mayGo(k rotation.EncryptionKey, of rotation.EncryptionKeys, now time.Time) string {
	switch {
	case k.Encrypts:
		return "no, it encrypts"
	case !of.Done:
		return "not yet"
	case !now.Before(k.MayGo):
		return "now"
	}
	return when(k.MayGo, now)
}

func counted(counts reseal.Counts) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprint(counts[kind], " ", strings.ReplaceAll(string(kind), "_", " ")))
	}
	return strings.Join(parts, ", ")
}

// NewKey is what is printed of a key that was made.
type NewKey struct {
	File string `json:"file,omitempty"`
	Key  string `json:"key,omitempty"` // only if it was to be printed
	// Configure are the lines for the global mcp_oauth block, in place of those with
	// encryption_key that are there.
	Configure []string `json:"configure"`
}

// makeEncryptionKey makes a key, and says what to do with it.
func makeEncryptionKey(i *invocation, file string) error {
	made := NewKey{}
	if file == "-" {
		made.Key = encryptionkey.New()
		made.Configure = []string{"encryption_key {env.MCP_OAUTH_KEY}"}
	} else {
		path, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		if err := encryptionkey.WriteNew(path); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already, and stays as it is; name a file that is not", path)
		} else if err != nil {
			return fmt.Errorf("%w; nothing was changed", err)
		}
		made.File = path
		made.Configure = []string{"encryption_key {file." + path + "}"}
	}
	answer, err := get[rotation.EncryptionKeys](i, adminapi.EncryptionKeysPath, nil)
	if err == nil {
		for _, k := range answer.Keys {
			made.Configure = append(made.Configure, "encryption_key "+k.Source)
		}
	}
	if i.is("json") {
		return i.print(made, nil)
	}
	return tellEncryptionKey(i, made, err)
}

func tellEncryptionKey(i *invocation, made NewKey, unknown error) error {
	out := i.cmd.OutOrStdout()
	if made.Key != "" {
		_, _ = fmt.Fprintln(out, made.Key)
		out = i.cmd.ErrOrStderr() // the output is the key, for a secret store
	}
	lines := strings.Join(made.Configure, "\n\t\t")
	if unknown != nil {
		lines += "\n\t\t(and here the lines with encryption_key that are there; if there are none, the key is in the file\n\t\tthat the log names when Caddy starts)"
	}
	_, err := fmt.Fprintf(out, `Put this into the configuration, the new key first:

	mcp_oauth {
		%s
	}

The user that runs Caddy has to be able to read it. Keep a copy where the database and
its backups are not. Then: caddy reload, and caddy mcp-oauth rotate-key --wait
`, lines)
	return err
}
