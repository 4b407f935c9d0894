package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

func restoreCommand() *cobra.Command {
	cmd := confirmable(offline(&cobra.Command{
		Use:   "restore BACKUP",
		Short: "Puts a backup in the place of the database, while Caddy is stopped",
		Long: `Puts a backup in the place of the database. Caddy has to be stopped: say with --config
which configuration it runs with, so that the database and the encryption keys are known,
or with --database and --key-file. The backup is checked before anything is replaced,
and the database that was there is kept beside it.

What was ended after the backup must not come back to life, and a backup does not know
what that was. So all sign-ins end: people sign in again and approve their clients again,
virtual keys of the database are disabled until an operator enables those that are still
good, and the sites make new signing keys. Connected accounts and registrations stay.
With --keep-sign-ins nothing ends: for a backup after which Caddy has served nobody, such
as one that was made to move to another machine.`,
		Args: cobra.ExactArgs(1),
		RunE: runs(restore),
	}))
	cmd.Flags().Bool("keep-sign-ins", false, "end nothing: Caddy has served nobody since the backup")
	cmd.Flags().Bool("without-keys", false, "restore even if the encryption keys do not open all that is sealed")
	return cmd
}

// Restored is what a restore came to.
type Restored struct {
	Database string            `json:"database"`
	Backup   *boltstore.Report `json:"backup"`
	// Kept is where the database is that was there before.
	Kept  string         `json:"kept,omitempty"`
	Ended *storage.Ended `json:"ended,omitempty"` // nil if nothing was to end
}

func restore(i *invocation) error {
	in, err := findInstallation(i)
	if err != nil {
		return err
	}
	if in.Path == "" {
		return errWhichDatabase
	}
	now, ctx := time.Now(), i.cmd.Context()
	restoration, err := boltstore.PrepareRestore(ctx, in.Path, i.args[0], boltstore.Options{Timeout: lockPatience}, boltstore.Checker{Keys: in.Keys, Now: now})
	if err != nil {
		return stopFirst(err)
	}
	defer func() { _ = restoration.Close() }()
	report := restoration.Report
	if err := reportTable(*report).write(i.cmd.ErrOrStderr(), 0); err != nil {
		return err
	}
	if !i.is("json") {
		tellReport(i, *report, in.Keys != nil)
	}
	if err := keysFit(i, in, report); err != nil {
		return err
	}
	if err := i.confirm("%s", consequences(i, in.Path, restoration.Replaces)); err != nil {
		return err
	}
	done := Restored{Database: in.Path, Backup: report}
	if !i.is("keep-sign-ins") {
		ended, err := restoration.EndSignIns(ctx, now)
		if err != nil {
			return fmt.Errorf("nothing was replaced: %w", err)
		}
		done.Ended = &ended
	}
	if done.Kept, err = restoration.Commit(now); err != nil {
		return err
	}
	if err := i.print(done, &table{none: fmt.Sprintf("Restored %s.", in.Path)}); err != nil {
		return err
	}
	tellRestored(i, done)
	return nil
}

// keysFit refuses a backup that would be of little use with the keys there are.
func keysFit(i *invocation, in Installation, r *boltstore.Report) error {
	if i.is("without-keys") || len(r.Sealed) == 0 {
		return nil
	}
	switch {
	case in.KeysFailure != nil:
		return fmt.Errorf("nothing was replaced: the backup needs the encryption key, and that cannot be read: %w. With --without-keys it is restored nevertheless; accounts then have to be connected again", in.KeysFailure)
	case in.Keys == nil:
		return errors.New("nothing was replaced: whether the encryption keys open what is sealed in the backup is not known; say with --config or --key-file which they are, or restore it nevertheless with --without-keys")
	case r.Unopened > 0:
		return fmt.Errorf("nothing was replaced: the encryption keys that are configured (%s) do not open %d of what is sealed; put the key that the backup needs behind them (it has the name that is shown above), or restore it nevertheless with --without-keys: then those accounts have to be connected again",
			strings.Join(in.Keys.IDs(), ", "), r.Unopened)
	}
	return nil
}

// consequences says what is about to happen.
func consequences(i *invocation, path string, replaces bool) string {
	text := "This makes the backup the database " + path + "."
	if replaces {
		text = "This puts the backup in the place of the database " + path + ", which is kept beside it."
	}
	if i.is("keep-sign-ins") {
		return text + " All that was ended since the backup is good again."
	}
	return text + " Everybody has to sign in again, and virtual keys of the database are disabled."
}

func tellRestored(i *invocation, done Restored) {
	if done.Kept != "" {
		i.say("The database that was there is %s now; remove it when you do not need it any more.", done.Kept)
	}
	if done.Ended != nil {
		tellEnded(i, *done.Ended)
	}
	i.say("Start Caddy now.")
}

func tellEnded(i *invocation, ended storage.Ended) {
	i.say("Ended: %s, %s, %s under way.", plural(ended.Grants, "grant"), plural(ended.Sessions, "browser session"), plural(ended.Flows, "sign-in"))
	if names := ended.VirtualKeys; len(names) > 0 {
		i.say("Disabled virtual keys, as they may have been deleted or rotated since: %s. Enable those that are still good.", strings.Join(names, ", "))
	}
	if ended.SigningKeys > 0 {
		i.say("The sites make new signing keys when Caddy starts.")
	}
	if ended.InitialTokens > 0 {
		i.say("Ended initial access tokens, as they may have been deleted or used up since. Make those anew that are needed.")
	}
}

func endSignInsCommand() *cobra.Command {
	return confirmable(&cobra.Command{
		Use:   "end-sign-ins",
		Short: "Ends all sign-ins in a database that was put back, while Caddy is stopped",
		Long: `Ends what "restore" ends, in a database that was put back in another way: one of
PostgreSQL, from a dump or an archive of its log, a replica that took over and had not
got everything, a copy of the file. Every Caddy on it has to be stopped, and --config
says which configuration they run with.

What was ended after the state that was put back must not come back to life, and the
database does not know what that was. So people sign in again and approve their clients
again, virtual keys of the database are disabled until an operator enables those that are
still good, and the sites make new signing keys. Connected accounts and registrations
stay.`,
		Args: cobra.NoArgs,
		RunE: runs(endSignIns),
	})
}

// SignInsEnded is what ending all sign-ins came to.
type SignInsEnded struct {
	Store string        `json:"store"`
	Ended storage.Ended `json:"ended"`
}

func endSignIns(i *invocation) (err error) {
	ctx, file := i.cmd.Context(), i.text("config")
	if file == "" {
		return errors.New("say with --config which configuration Caddy runs with: it names the database")
	}
	in, err := installation(file, i.text("adapter"))
	if err != nil {
		return err
	}
	if in.Move != nil { // else to open it would make one
		if there, err := in.Move.Exists(ctx); err != nil || !there {
			return cmpError(err, fmt.Errorf("there are no records in %s; is %s the configuration that Caddy runs with, in its environment?", in.Move.Name(), file))
		}
	}
	store, err := in.Open(ctx)
	if err != nil {
		return stopFirst(err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	ender, ok := store.(storage.SignInEnder)
	if !ok {
		return fmt.Errorf("%s cannot be put back as it was earlier, so there is nothing to end", in.Store)
	}
	if err := alone(ctx, store); err != nil {
		return err
	}
	if err := i.confirm("This ends all sign-ins in %s. Everybody has to sign in again, and virtual keys of the database are disabled.", in.Store); err != nil {
		return err
	}
	done := SignInsEnded{Store: in.Store}
	if done.Ended, err = ender.EndSignIns(ctx, time.Now()); err != nil {
		return fmt.Errorf("not all has ended; run the command again: %w", err)
	}
	if err := i.print(done, &table{none: fmt.Sprintf("Ended all sign-ins in %s.", in.Store)}); err != nil {
		return err
	}
	tellEnded(i, done.Ended)
	i.say("Start Caddy now.")
	return nil
}

// seenLately is how lately an instance was seen that is at work. One that was killed
// counts for as long.
const seenLately = 30 * time.Second

// alone refuses a store that a Caddy works on.
func alone(ctx context.Context, store storage.Store) error {
	shared, ok := store.(storage.InstanceStore)
	if !ok {
		return nil // only one process can open it
	}
	own := storage.Instance{ID: "end-sign-ins " + rand.Text(), About: []byte("{}")}
	all, err := shared.AnnounceInstance(ctx, own, seenLately)
	if err = errors.Join(err, shared.LeaveInstance(ctx, own.ID)); err != nil {
		return err
	}
	for _, other := range all {
		if other.ID != own.ID {
			return fmt.Errorf("a Caddy works on the database, or did so in the last %v: %s. Stop all of them first; nothing was changed", seenLately, other.ID)
		}
	}
	return nil
}
