package adminapi

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

const (
	// EncryptionKeysPath is where operators see how far a change of the key is.
	EncryptionKeysPath = "/mcp_oauth/encryption_keys"
	// BackupPath is where they get a backup, and CheckPath a check of all records.
	BackupPath = "/mcp_oauth/backup"
	CheckPath  = "/mcp_oauth/check"
)

var storedRoutes = []route{{
	method: http.MethodGet, path: EncryptionKeysPath,
	about:  "The encryption keys by name, what each has sealed, and when those behind the first may leave the configuration. Keys themselves are never shown.",
	answer: rotation.EncryptionKeys{}, serve: listEncryptionKeys,
}, {
	method: http.MethodDelete, path: EncryptionKeysPath + "/{id}",
	about: "Says that nobody has an encryption key any more with which the Caddys on a database encrypt: those with another one no longer refuse to use it. " +
		"What it sealed can never be read again. 409 while anybody has it, and where nobody is refused for it.",
	answer: LostKey{}, fails: []int{http.StatusNotFound, http.StatusConflict}, serve: declareKeyLost,
}, {
	method: http.MethodGet, path: BackupPath,
	about: "The database as it is at this moment, as a file: all that the sites keep, whatever is written meanwhile. " +
		"Tokens of ours are in it as hashes, those of providers sealed; the encryption key is not. 409 for records that are not in a file.",
	answer: File{}, fails: []int{http.StatusConflict}, serve: takeBackup,
}, {
	method: http.MethodGet, path: CheckPath,
	about: "Reads all pages and records of the database and says what is wrong: whether each can be read, is found by what it is to be found by, " +
		"and opens with the encryption keys. Nobody waits for it. 409 for records that are not in a file.",
	answer: boltstore.Report{}, fails: []int{http.StatusConflict}, serve: checkRecords,
}}

func listEncryptionKeys(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	return operator.Rotation.EncryptionKeys(), nil
}

// LostKey is an encryption key that nobody has any more.
type LostKey struct {
	Lost string `json:"lost"` // its name
}

func declareKeyLost(c *call) (any, error) {
	operator := c.Active(false)
	if operator == nil {
		return nil, errNoSite
	}
	if err := operator.KeyLost(c.Context(), c.named["id"]); err != nil {
		return nil, apiError(http.StatusConflict, err.Error())
	}
	return LostKey{c.named["id"]}, nil
}

// openedFile returns the operator, and the store, if that is a file.
func openedFile(c *call) (*Operator, *boltstore.Store, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, nil, err
	}
	s, ok := operator.Store.(*boltstore.Store)
	if !ok {
		return nil, nil, apiError(http.StatusConflict, "the records are not in a file, but in "+operator.StoreName+"; use the tools of that database (pg_dump, for PostgreSQL)")
	}
	return operator, s, nil
}

func checkRecords(c *call) (any, error) {
	operator, s, err := openedFile(c)
	if err != nil {
		return nil, err
	}
	report, err := s.CheckAll(c.Context(), boltstore.Checker{Keys: operator.Keyring, Now: time.Now()})
	if err != nil {
		return nil, failure(err)
	}
	return report, nil
}

func takeBackup(c *call) (any, error) {
	_, s, err := openedFile(c)
	if err != nil {
		return nil, err
	}
	snapshot, err := s.Snapshot()
	if err != nil {
		return nil, failure(err)
	}
	return File{
		name: "mcp_oauth.db", size: snapshot.Size(),
		write: func(w io.Writer) error { return snapshot.Write(w, time.Now()) }, close: snapshot.Close,
	}, nil
}

// File is an answer that is no JSON.
type File struct {
	name  string
	size  int64
	write func(io.Writer) error
	close func()
}

// patience is how long a client may take no bytes of a file. What it is made from
// grows meanwhile.
const patience = 30 * time.Second

// send answers with the file. If it fails half way, the client gets fewer bytes than
// it was told of.
func (f File) send(w http.ResponseWriter) error {
	defer f.close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
	h.Set("Content-Length", strconv.FormatInt(f.size, 10))
	h.Set("Cache-Control", "no-store")
	if err := f.write(patient{w, http.NewResponseController(w)}); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// patient is a writer to a client that has to go on reading.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(patience)) // where there is none, it waits
	return p.ResponseWriter.Write(b)
}
