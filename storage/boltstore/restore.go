package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Restoration puts a backup in the place of a database, in two steps: what it found
// out about the backup can be looked at before anything is replaced. Whenever it is
// interrupted, the database is what it was or what it shall be.
type Restoration struct {
	// Report is about the backup.
	Report *Report
	// Replaces tells that there is a database.
	Replaces bool

	path, copy string
	lock       *os.File // of the database; nil if there is none
}

// PrepareRestore copies a backup beside the database at path, and checks the copy. It
// holds the database, so that nobody opens it until Close. A backup that is damaged, or
// none, is an error; faults of its records are in the report.
func PrepareRestore(ctx context.Context, path, backup string, o Options, c Checker) (*Restoration, error) {
	if same, err := samePath(path, backup); err != nil {
		return nil, explainBackup(backup, err)
	} else if same {
		return nil, fmt.Errorf("boltstore: %s is the database itself; name a backup of it", backup)
	}
	if err := checkNoLink(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, explain(path, err)
	}
	begun := &Restoration{path: path}
	if err := begun.prepare(ctx, backup, o, c); err != nil {
		return nil, errors.Join(err, begun.Close())
	}
	return begun, nil
}

func (r *Restoration) prepare(ctx context.Context, backup string, o Options, c Checker) (err error) {
	path := r.path
	bo := options(o, bbolt.Options{})
	bo.OpenFile = os.OpenFile // whoever else may touch it, it is replaced
	r.lock, err = lockFile(path, bo)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain(path, err)
	}
	r.Replaces = r.lock != nil
	leftovers, _ := filepath.Glob(path + ".*" + restoring)
	for _, name := range leftovers { // of attempts that were killed
		_ = os.Remove(name)
	}
	if err := r.copyBackup(ctx, backup); err != nil {
		return explainBackup(backup, err)
	}
	takenAt, err := r.migrate()
	if err != nil {
		return explainBackup(backup, err)
	}
	if r.Report, err = CheckFile(ctx, r.copy, c); err != nil {
		return explainBackup(backup, err)
	}
	r.Report.TakenAt = takenAt
	return nil
}

// restoring ends the name of a copy that is not the database yet.
const restoring = ".restoring"

// explainBackup says that an error is about a backup, and what to do.
func explainBackup(path string, err error) error {
	var found foundDamage
	switch {
	case errors.As(err, &found):
		return fmt.Errorf("boltstore: the backup %s is damaged (%s), and nothing was replaced; use another one", path, string(found))
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("boltstore: the backup %s is damaged, or none, and nothing was replaced; use another one", path)
	}
	return fmt.Errorf("boltstore: the backup %s cannot be restored, and nothing was replaced: %w", path, err)
}

// checkNoLink refuses a database that is a link, in whose place another file would
// come: the database would not be where it was any more.
func checkNoLink(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil // what is wrong with it, who opens it says
	}
	return fmt.Errorf("boltstore: %s is a link, and nothing was changed; name the file that it leads to with --database", path)
}

func samePath(a, b string) (bool, error) {
	of, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	at, err := os.Stat(a)
	return err == nil && os.SameFile(at, of), nil
}

func (r *Restoration) copyBackup(ctx context.Context, backup string) error {
	from, err := os.Open(backup)
	if err != nil {
		return err
	}
	defer from.Close()
	if info, err := from.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, errors.New("it is no file"))
	}
	to, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+".*"+restoring) // with the mode 0600
	if err != nil {
		return err
	}
	r.copy = to.Name()
	_, err = io.Copy(to, reader{ctx, from})
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// migrate makes a database of this program's layout of the copy, and returns when the
// backup was taken.
func (r *Restoration) migrate() (takenAt time.Time, err error) {
	if takenAt, err = checkTrailer(r.copy); err != nil {
		return takenAt, err
	}
	if err := cutTrailer(r.copy); err != nil {
		return takenAt, err
	}
	return takenAt, r.change(func(*engine) error { return nil })
}

// change opens the copy for a change, which is on disk when it returns.
func (r *Restoration) change(change func(*engine) error) error {
	e, err := openEngine(r.copy, Options{noCopy: true}, bbolt.Options{})
	if err != nil {
		return err
	}
	return errors.Join(change(e), e.Close())
}

// EndSignIns ends, in the copy, all by which somebody is let in, or could be. What was
// ended since the backup must not come back to life.
func (r *Restoration) EndSignIns(ctx context.Context, now time.Time) (ended storage.Ended, err error) {
	err = r.change(func(e *engine) error {
		ended, err = kv.EndSignIns(ctx, e, now)
		return err
	})
	return ended, err
}

// Commit puts the copy in the place of the database, which is kept under the name that
// is returned, if there was one.
func (r *Restoration) Commit(now time.Time) (kept string, err error) {
	if r.Replaces {
		if kept, err = r.keep(now); err != nil {
			return "", fmt.Errorf("boltstore: the database %s cannot be kept beside itself, and nothing was replaced: %w%s", r.path, err, advice(r.path, err))
		}
	}
	if err := r.own(); err != nil {
		return "", fmt.Errorf("boltstore: nothing was replaced: %w", err)
	}
	if err := os.Rename(r.copy, r.path); err != nil {
		return "", fmt.Errorf("boltstore: nothing was replaced: %w", err)
	}
	r.copy = ""
	return kept, newfile.SyncFolder(filepath.Dir(r.path))
}

// own gives the copy to the owner of the database, and puts that on disk, with the
// name under which the database is kept.
func (r *Restoration) own() error {
	if err := ownAs(r.copy, r.path, filepath.Dir(r.path)); err != nil {
		return err
	}
	f, err := os.OpenFile(r.copy, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), newfile.SyncFolder(filepath.Dir(r.path)))
}

// keep gives the database a second name. Not every file system has links: there it is
// copied, so that at no moment there is none under its own name.
func (r *Restoration) keep(now time.Time) (string, error) {
	name := r.path + ".before-restore-" + now.UTC().Format("20060102T150405.000Z")
	err := os.Link(r.path, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return name, err
	}
	return name, newfile.Create(name, func(f *os.File) error {
		from, err := os.Open(r.path)
		if err != nil {
			return err
		}
		defer from.Close()
		_, err = io.Copy(f, from)
		return err
	})
}

// Close lets go of the database, and removes what was not committed.
func (r *Restoration) Close() (err error) {
	if r.copy != "" {
		err = os.Remove(r.copy)
	}
	if r.lock != nil {
		err = errors.Join(err, letGo(r.lock))
	}
	r.copy, r.lock = "", nil
	return err
}
