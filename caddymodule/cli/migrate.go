package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

func migrateCommand() *cobra.Command {
	cmd := confirmable(&cobra.Command{
		Use:   "migrate --from CONFIG --to CONFIG",
		Short: "Moves all records to another storage, while Caddy is stopped",
		Long: `Moves everything that the sites keep from the storage of one configuration to that of
another: from a bbolt file to PostgreSQL, or back, or to another file or database.
Nobody is signed out, and what was spent, revoked or disconnected stays so. Both
configurations need the same encryption_key; a password of a database stays where the
configuration has it, such as in {env.DSN}.

Every Caddy on either storage has to be stopped. The target has to be empty. It is read
back, and compared with the source by kind: how many records, and a sum over the SHA-256
of each. Only then it can be used, and the source not any more: no Caddy starts on it.
The source keeps its records until you remove it.

Interrupted, by a crash or a full disk, it goes on where it was when the same command
runs again; meanwhile no Caddy starts on either. --dry-run tells what would be moved,
and changes nothing. To stay with the source after all, before Caddy has run with the
target: migrate --from CONFIG --reopen.`,
		Args: cobra.NoArgs,
		RunE: runs(migrate),
	})
	flags := cmd.Flags()
	flags.String("from", "", "the configuration whose storage is moved; without it, --config")
	flags.String("to", "", "the configuration with the storage that it is moved to")
	flags.Bool("dry-run", false, "change nothing: tell what would be moved, and whether it could be")
	flags.Bool("discard-target", false, "remove first what is in a target that another move has left or not finished")
	flags.Bool("without-keys", false, "move even if the encryption keys of --to do not open all that is sealed")
	flags.Bool("reopen", false, "let Caddy start again with the storage of --from, which was moved or is being moved")
	return cmd
}

// Migrated is what a move came to.
type Migrated struct {
	From   string       `json:"from"`
	To     string       `json:"to"`
	Counts []move.Count `json:"counts,omitempty"`
	// Resumed tells that it had been interrupted, and Already that it was complete.
	Resumed bool    `json:"resumed,omitempty"`
	Already bool    `json:"already,omitempty"`
	DryRun  bool    `json:"dry_run,omitempty"`
	Seconds float64 `json:"seconds"`
}

// migration is one run of the command.
type migration struct {
	*invocation
	from, to         Installation
	fromName, toName string // of the configurations
	told             time.Time
}

func migrate(i *invocation) (err error) {
	m := &migration{invocation: i, fromName: i.text("from"), toName: i.text("to")}
	if m.fromName == "" {
		m.fromName = i.text("config")
	}
	if m.from, err = movable(i, m.fromName, "--from"); err != nil {
		return err
	}
	if i.is("reopen") {
		return m.reopen()
	}
	if m.to, err = movable(i, m.toName, "--to"); err != nil {
		return err
	}
	if m.from.Move.Name() == m.to.Move.Name() {
		return fmt.Errorf("%s and %s mean the same storage, %s; nothing is to be moved", m.fromName, m.toName, m.from.Move.Name())
	}
	return m.run(i.cmd.Context())
}

// movable returns the installation of a configuration whose storage can be moved.
func movable(i *invocation, file, flag string) (in Installation, err error) {
	if file == "" {
		return in, fmt.Errorf("say which storages: %s with a configuration, of which the storage and the encryption keys are taken", flag)
	}
	if in, err = installation(file, i.text("adapter")); err != nil {
		return in, err
	}
	if in.Move == nil {
		return in, fmt.Errorf("%s keeps its records in storage %s, from and to which nothing can be moved; use bbolt or postgres", file, in.Store)
	}
	return in, nil
}

func (m *migration) run(ctx context.Context) (err error) {
	began := time.Now()
	if there, err := m.from.Move.Exists(ctx); err != nil || !there {
		return cmpError(err, fmt.Errorf("there are no records in %s; is %s the configuration that Caddy ran with, in its environment?", m.from.Move.Name(), m.fromName))
	}
	source, err := m.from.Move.Open(ctx, m.is("dry-run"))
	if err != nil {
		return stopFirst(err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := m.target(ctx)
	if err != nil {
		return stopFirst(err)
	}
	if target != nil {
		defer func() { err = errors.Join(err, target.Close()) }()
	}
	all := &move.Move{
		From: source, To: target, FromName: m.from.Move.Name(), ToName: m.to.Move.Name(),
		Discard: m.is("discard-target"), Seen: m.seen, Now: time.Now,
	}
	if err := all.Check(ctx); err != nil {
		return err
	}
	survey, err := move.Look(ctx, source, m.to.Keys, func(kind string, n int) { m.seen("read", kind, n) })
	if err != nil {
		return err
	}
	if err := m.keysFit(survey); err != nil {
		return err
	}
	did := Migrated{From: all.FromName, To: all.ToName}
	if m.is("dry-run") {
		did.Counts, did.DryRun, did.Seconds = survey.Counts, true, time.Since(began).Seconds()
		return m.tell(did, survey)
	}
	if err := m.confirm("This moves %s from %s to %s. No Caddy starts on %s afterwards.", plural(survey.Records(), "record"), all.FromName, all.ToName, all.FromName); err != nil {
		return err
	}
	done, err := all.Run(ctx)
	if err != nil {
		return err
	}
	did.Resumed, did.Already = done.Resumed, done.Already
	if done.Survey != nil {
		survey, did.Counts = done.Survey, done.Counts
	}
	did.Seconds = time.Since(began).Seconds()
	return m.tell(did, survey)
}

// target opens the target. Without one, in a dry run, it is nil.
func (m *migration) target(ctx context.Context) (move.Side, error) {
	if m.is("dry-run") {
		if there, err := m.to.Move.Exists(ctx); err != nil || !there {
			return nil, err
		}
	}
	return m.to.Move.Open(ctx, m.is("dry-run"))
}

// cmpError returns the first that is one.
func cmpError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// keysFit refuses a target whose keys do not open what is sealed.
func (m *migration) keysFit(s *move.Survey) error {
	if m.is("without-keys") || len(s.Sealed) == 0 {
		return nil
	}
	ids := strings.Join(slices.Sorted(maps.Keys(s.Sealed)), ", ")
	switch {
	case m.to.KeysFailure != nil:
		return fmt.Errorf("nothing was moved: what is sealed needs the encryption key %s, and that of %s cannot be read: %w", ids, m.toName, m.to.KeysFailure)
	case s.Unopened > 0:
		return fmt.Errorf("nothing was moved: the encryption keys of %s (%s) do not open %d of what is sealed, with %s; give it the encryption_key of the source. "+
			"With --without-keys it is moved nevertheless: then those accounts have to be connected again", m.toName, strings.Join(m.to.Keys.IDs(), ", "), s.Unopened, ids)
	}
	return nil
}

// seen tells how far it is, every few seconds.
func (m *migration) seen(doing, kind string, records int) {
	if now := time.Now(); !m.is("json") && now.Sub(m.told) > 3*time.Second {
		m.told = now
		m.cmd.PrintErrln(fmt.Sprintf("%s: %d %s", strings.ReplaceAll(kind, "_", " "), records, doing))
	}
}

// tell prints what was, or would be, moved.
func (m *migration) tell(did Migrated, s *move.Survey) error {
	t := &table{heads: []string{"RECORDS", "NUMBER", "SUM OF SHA-256"}, none: "There is no record."}
	for _, c := range did.Counts {
		if c.Records > 0 {
			t.add(strings.ReplaceAll(c.Kind, "_", " "), fmt.Sprint(c.Records), c.Sum)
		}
	}
	if did.Already {
		t = &table{none: fmt.Sprintf("Everything in %s was moved to %s before.", did.From, did.To)}
	}
	if err := m.print(did, t); err != nil {
		return err
	}
	took := time.Duration(did.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
	switch {
	case did.DryRun:
		m.say("%s would be moved from %s to %s. To read them took %v; to write and compare them takes several times as long. Nothing was changed.", plural(s.Records(), "record"), did.From, did.To, took)
		return nil
	case !did.Already:
		m.say("%s moved from %s to %s in %v, read back and compared.", plural(s.Records(), "record"), did.From, did.To, took)
	}
	m.say("Start Caddy with %s now. No Caddy starts on %s any more; remove it when you need no way back without what happens from now on.", m.toName, did.From)
	return nil
}

// reopen lets Caddy start again with a source.
func (m *migration) reopen() (err error) {
	ctx, name := m.cmd.Context(), m.from.Move.Name()
	if there, err := m.from.Move.Exists(ctx); err != nil || !there {
		return cmpError(err, fmt.Errorf("there is no %s", name))
	}
	side, err := m.from.Move.Open(ctx, false)
	if err != nil {
		return stopFirst(err)
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	mark, err := side.Mark(ctx)
	if err != nil {
		return err
	}
	switch {
	case mark.None():
		m.say("%s has no mark of a migration: Caddy starts on it.", name)
		return nil
	case mark.State == move.Left:
		err = m.confirm("The records of %s were moved to %s at %s. What happened there since is not here: what was revoked or disconnected is good again, and who signed in is not signed in. Go on with it nevertheless?",
			name, mark.Other, mark.Since.UTC().Format(time.RFC3339))
	}
	if err == nil {
		_, err = move.Reopen(ctx, side)
	}
	if err != nil {
		return err
	}
	m.say("Caddy starts on %s again. What was copied to %s stays there: move into it again with --discard-target.", name, mark.Other)
	return nil
}
