package hashchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// End is where a chain goes on in a file.
type End struct {
	Head
	// Torn is how many bytes of incomplete lines the file has after that.
	Torn int
	// Open tells that the last line has no line end.
	Open bool
}

// maxTail is how much of a file is read to find its end.
const maxTail = 2 * maxLine

// Find returns where the chain of a file goes on. If that is empty or not there,
// it goes on from the newest of the files that were rotated from it: those beside
// it with its name, a hyphen, anything, and its extension, also with .gz.
func Find(file string) (End, error) {
	tail, err := readTail(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return End{}, err
	}
	if len(bytes.TrimSpace(tail)) > 0 {
		return endOf(tail), nil
	}
	for _, rotated := range rotatedFrom(file) {
		if tail, err = readTail(rotated); errors.Is(err, fs.ErrNotExist) {
			continue // it was compressed or deleted meanwhile
		}
		if err != nil {
			return End{}, err
		}
		end := endOf(tail)
		end.Open = false // that is another file
		return end, nil
	}
	return End{}, nil
}

// endOf looks for the last line that is in a chain. Lines after it that are JSON are
// no part of any: they are left to be found by Verify.
func endOf(tail []byte) (e End) {
	e.Open = len(tail) > 0 && tail[len(tail)-1] != '\n'
	lines := bytes.Split(tail, []byte("\n"))
	for _, line := range slices.Backward(lines) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if l, ok := parseLink(line); ok && l.intact {
			e.Head = l.head()
			return e
		}
		if !json.Valid(line) {
			e.Torn += len(line)
		}
	}
	return End{Open: e.Open} // no chain: what is here is no part of the new one
}

// rotatedFrom returns the files that were rotated from a file, the newest first.
func rotatedFrom(file string) []string {
	ext := filepath.Ext(file)
	stem := strings.TrimSuffix(filepath.Base(file), ext)
	entries, _ := os.ReadDir(filepath.Dir(file)) // none can be read: then there is nothing to go on from
	type rotated struct {
		name string
		info fs.FileInfo
	}
	var found []rotated
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".gz")
		if !strings.HasPrefix(name, stem+"-") || !strings.HasSuffix(name, ext) {
			continue
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			found = append(found, rotated{entry.Name(), info})
		}
	}
	// Their names have the time. A compressed file is as old as its compression.
	slices.SortFunc(found, func(a, b rotated) int { return strings.Compare(b.name, a.name) })
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = filepath.Join(filepath.Dir(file), f.name)
	}
	return names
}

// readTail returns the end of a file, or of what is compressed in it.
func readTail(name string) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if plain, ok := f.ReadCloser.(*os.File); ok {
		info, err := plain.Stat()
		if err != nil {
			return nil, err
		}
		if skip := info.Size() - maxTail; skip > 0 {
			if _, err := plain.Seek(skip, io.SeekStart); err != nil {
				return nil, err
			}
		}
		return io.ReadAll(io.LimitReader(plain, 2*maxTail))
	}
	var tail []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := f.Read(buffer)
		tail = append(tail, buffer[:n]...)
		if len(tail) > 2*maxTail {
			tail = append(tail[:0], tail[len(tail)-maxTail:]...)
		}
		if errors.Is(err, io.EOF) {
			return tail, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
