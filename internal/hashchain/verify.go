package hashchain

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Report is what Verify found.
type Report struct {
	Files []string // in the order of the chain
	// First is the number of the first line that the files have. What came before it,
	// they do not say.
	First uint64
	Head  Head // the last line that is in order
	// Before is how many lines the first file has before the chain begins.
	Before int
	// Torn are the places of incomplete lines that the chain knows of.
	Torn []Place
	// Incomplete is the end of the last file if its last line has no end: a line is
	// being written, or the process was killed while it was.
	Incomplete *Place
	// Missing are the heads that Verify was to find and did not.
	Missing []Hash
	// Broken is the first line that is not in order, or nil.
	Broken *Break
}

// Whole reports whether nothing is wrong.
func (r *Report) Whole() bool { return r.Broken == nil && len(r.Missing) == 0 && r.Head.Seq > 0 }

// Place is a line in a file, from 1.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Break is where a chain breaks, and what is wrong there.
type Break struct {
	Place
	Reason string `json:"reason"`
}

// Verify reads all files of a chain, in any order. heads are hashes of lines that
// were kept elsewhere, which have to be in the chain. The error says that a file cannot be read.
func Verify(files []string, heads ...Hash) (*Report, error) {
	ordered, err := order(files)
	if err != nil {
		return nil, err
	}
	v := verifier{report: &Report{Files: ordered}, wanted: map[Hash]bool{}}
	for _, h := range heads {
		v.wanted[h] = true
	}
	for i, name := range ordered {
		err := eachLine(name, func(n int, line []byte, ended bool) bool {
			return v.read(Place{name, n}, line, ended, i == len(ordered)-1)
		})
		if err != nil {
			return nil, err
		}
		if v.report.Broken != nil {
			break
		}
	}
	v.finish()
	for _, h := range heads {
		if v.wanted[h] {
			v.report.Missing = append(v.report.Missing, h)
		}
	}
	return v.report, nil
}

// order returns the files in the order of the first line of each that is in the
// chain. Those without one come last.
func order(files []string) ([]string, error) {
	first := make(map[string]uint64, len(files))
	for _, name := range files {
		first[name] = ^uint64(0)
		err := eachLine(name, func(_ int, line []byte, _ bool) bool {
			l, ok := parseLink(line)
			if ok {
				first[name] = l.seq
			}
			return !ok
		})
		if err != nil {
			return nil, err
		}
	}
	ordered := slices.Clone(files)
	slices.SortStableFunc(ordered, func(a, b string) int { return cmp.Compare(first[a], first[b]) })
	return slices.Compact(ordered), nil
}

// eachLine calls f with each line that is not empty, without its end, until f
// returns false.
func eachLine(name string, f func(n int, line []byte, ended bool) bool) error {
	file, err := open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, maxLine)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%s: %w", name, err)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%s:%d: the line is longer than %d bytes, which none is that was written here", name, n, maxLine)
		}
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(text) > 0 && !f(n, text, err == nil) {
			return nil
		}
		if err != nil {
			return nil
		}
	}
}

// verifier goes along a chain.
type verifier struct {
	report *Report
	wanted map[Hash]bool
	// torn is where the incomplete lines since the last good one begin, and their bytes.
	torn      Place
	tornBytes int
	unended   bool // the last of them has no line end
}

// read judges a line. It reports whether the next is to be read.
func (v *verifier) read(at Place, line []byte, ended, lastFile bool) bool {
	l, linked := parseLink(line)
	switch {
	case linked && l.intact && v.report.Head.Seq == 0:
		v.report.First = l.seq
		v.tornBytes = 0
	case v.report.Head.Seq == 0 && !linked:
		v.report.Before++ // before the chain began
		return true
	case !linked && !json.Valid(line):
		if v.tornBytes == 0 {
			v.torn = at
		}
		v.tornBytes += len(line)
		v.unended = !ended && lastFile
		return true
	case !linked:
		return v.broken(at, "this line is not part of the chain: it was added, or its link was taken away")
	case !l.intact:
		return v.broken(at, "this line was changed: its hash is not that of its content")
	case l.torn != v.tornBytes:
		return v.tornWrongly(at, l)
	default:
		if reason := v.misplaced(l); reason != "" {
			return v.broken(at, reason)
		}
	}
	if v.tornBytes > 0 {
		v.report.Torn = append(v.report.Torn, v.torn)
	}
	v.tornBytes = 0
	v.report.Head = l.head()
	delete(v.wanted, l.hash)
	return true
}

// misplaced says what is wrong with the place of an intact line.
func (v *verifier) misplaced(l link) string {
	last := v.report.Head
	switch {
	case l.seq == 1 && l.prev == Hash{}:
		return fmt.Sprintf("a new chain begins here, after line %d of the one before: the file with its end was taken away or replaced, or a process wrote elsewhere", last.Seq)
	case l.seq > last.Seq+2:
		return fmt.Sprintf("this is line %d of the chain and the one before is line %d: %d lines between them are missing", l.seq, last.Seq, l.seq-last.Seq-1)
	case l.seq > last.Seq+1:
		return fmt.Sprintf("this is line %d of the chain and the one before is line %d: the line between them is missing", l.seq, last.Seq)
	case l.seq <= last.Seq:
		return fmt.Sprintf("this is line %d of the chain and the one before is line %d: they were put into another order, or this one is there twice", l.seq, last.Seq)
	case l.prev != last.Hash:
		return fmt.Sprintf("this line does not follow the one before: line %d was replaced, or this one is of another chain", last.Seq)
	}
	return ""
}

func (v *verifier) tornWrongly(at Place, l link) bool {
	if v.tornBytes > 0 {
		return v.broken(v.torn, "this line is not part of the chain: it was changed or added")
	}
	return v.broken(at, fmt.Sprintf("an incomplete line of %d bytes that was before this line is missing", l.torn))
}

func (v *verifier) broken(at Place, reason string) bool {
	v.report.Broken = &Break{at, reason}
	return false
}

// finish judges what comes after the last good line.
func (v *verifier) finish() {
	switch {
	case v.report.Broken != nil || v.tornBytes == 0:
	case v.unended:
		v.report.Incomplete = &v.torn
	default:
		v.broken(v.torn, "this line is not part of the chain: it was changed or added")
	}
}
