package audit

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/hashchain"
)

func init() {
	caddy.RegisterModule(new(ChainWriter))
}

// ChainWriter writes a log to a file, as Caddy's `file` does and with all of its
// options, and chains the lines by hashes, so that it shows when any of them was
// changed, taken away, put in or moved. It is for the audit log, and good for
// any other that is written as JSON.
//
// Each line gets a last member, `chain`, with its number, the hash of the line
// before and its own. The chain goes on in the next file when one is rotated, and
// when Caddy starts again. `caddy mcp-oauth audit verify` reads it.
type ChainWriter struct {
	logging.FileWriter
}

// CaddyModule returns the Caddy module information.
func (*ChainWriter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.logging.writers.mcp_oauth_chain",
		New: func() caddy.Module { return new(ChainWriter) },
	}
}

// Provision checks the options.
func (w *ChainWriter) Provision(ctx caddy.Context) error {
	if strings.EqualFold(w.RollCompression, "zstd") {
		return errors.New("roll_compression zstd: a chain goes on from its rotated files, and reads gzip only; remove it, or write roll_compression none")
	}
	return w.FileWriter.Provision(ctx)
}

// WriterKey returns what is the same for the same file.
func (w *ChainWriter) WriterKey() string { return "mcp_oauth_chain:" + w.Filename }

// OpenWriter opens the file, whose chain goes on with the next line.
func (w *ChainWriter) OpenWriter() (io.WriteCloser, error) {
	out, err := w.FileWriter.OpenWriter()
	if err != nil {
		return nil, err
	}
	if _, err := hashchain.Find(w.Filename); err != nil {
		return nil, errors.Join(fmt.Errorf("the end of the chain in %s cannot be read: %w", w.Filename, err), out.Close())
	}
	path, err := filepath.Abs(w.Filename)
	if err != nil {
		path = w.Filename
	}
	c, _ := chains.LoadOrStore(path, &chain{file: path})
	return &chainedFile{c.(*chain), out}, nil
}

// chains are the chains of the process by file. They outlive what writes them: a log
// that was configured otherwise can still get the last line of a call.
var chains sync.Map

// chain is the end of a chain.
type chain struct {
	file string

	mu     sync.Mutex
	known  bool // what end is
	end    hashchain.End
	line   []byte // is built here
	toldAt time.Time
	told   hashchain.Head
}

// chainedFile is a file that is open for a chain.
type chainedFile struct {
	chain *chain
	out   io.WriteCloser
}

// tellEvery is how often the end of a chain is told elsewhere.
const tellEvery = time.Hour

// Write implements io.Writer. p is one line.
func (f *chainedFile) Write(p []byte) (int, error) {
	head, tell, err := f.chain.write(f.out, p)
	if err != nil {
		return 0, err
	}
	if tell {
		tellHead(f.chain.file, head)
	}
	return len(p), nil
}

// write appends a line to the chain. It reports whether its end is to be told.
func (c *chain) write(out io.Writer, p []byte) (_ hashchain.Head, tell bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known { // not earlier: until now, another process may have written
		if c.end, err = hashchain.Find(c.file); err != nil {
			return c.end.Head, false, err
		}
		c.known = true
	}
	line := c.line[:0]
	if c.end.Open {
		line = append(line, '\n')
	}
	begin := len(line)
	line, next := c.end.Append(line, p, c.end.Torn)
	c.line = line
	n, err := out.Write(line)
	switch {
	case n >= len(line)-1: // all, perhaps but for the line end
		c.end = hashchain.End{Head: next, Open: n < len(line)}
	case n > 0:
		c.end.Open = n > begin
		c.end.Torn += n - begin
	}
	if err != nil {
		return c.end.Head, false, err
	}
	if now := time.Now(); now.Sub(c.toldAt) >= tellEvery {
		c.toldAt, c.told, tell = now, c.end.Head, true
	}
	return c.end.Head, tell, nil
}

// Close closes the file, and tells the end of the chain.
func (f *chainedFile) Close() error {
	f.chain.mu.Lock()
	head := f.chain.end.Head
	tell := f.chain.known && head != f.chain.told
	f.chain.told = head
	f.chain.mu.Unlock()
	if tell {
		tellHead(f.chain.file, head)
	}
	return f.out.Close()
}

// tellHead writes the end of a chain into the default log, which may be kept
// elsewhere: then nobody can replace the whole chain, or take lines off its end.
func tellHead(file string, head hashchain.Head) {
	caddy.Log().Named("mcp_oauth").Info("end of the audit chain; kept elsewhere, it proves that nothing before it was changed",
		zap.String("event", "audit.head"), zap.String("file", file), zap.Uint64("line", head.Seq), zap.Stringer("hash", head.Hash))
}

var (
	_ caddy.WriterOpener = (*ChainWriter)(nil)
	_ caddy.Provisioner  = (*ChainWriter)(nil)
)
