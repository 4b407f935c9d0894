package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
)

// What bbolt keeps in a page, in the byte order of the machine.
const (
	pageHeader    = 16 // id 8, flags 2, count 2, overflow 4
	metaLength    = 64 // magic 4, version 4, page size 4, flags 4, root 16, free list 8, high-water mark 8, transaction 8, checksum 8
	bucketHeader  = 16 // root 8, sequence 8
	elementLength = 16 // leaf: flags 4, pos 4, key size 4, value size 4; branch: pos 4, key size 4, page 8

	branchFlag, leafFlag, freelistFlag = 0x01, 0x02, 0x10
	bucketFlag                         = 0x01 // of a leaf's element

	magic, version = 0xED0CDAED, 2
	noFreelist     = math.MaxUint64
	maxDepth       = 64 // of a tree, far more than a file can have
)

var order = binary.NativeEndian

// checkPages reads all pages that are in use, and fails if one is damaged in a
// way that bbolt, which believes every number in them, could not cope with.
// Nothing may write meanwhile. It reads the file itself rather than the memory
// that it is mapped to, and trusts no number: it can only fail.
func checkPages(file io.ReaderAt, pageSize int, o Options) error {
	c := &pageCheck{file: file, size: pageSize}
	root, freelist, err := c.meta()
	if err != nil {
		return err
	}
	size := int64(c.limit) * int64(pageSize) //nolint:gosec // meta checked it
	if size >= slowSize && o.Progress != nil {
		c.progress = func(checked int64) error { return o.Progress(size+checked, 2*size) }
		if err := readAhead(file, size, func(read int64) error { return o.Progress(read, 2*size) }); err != nil {
			return err
		}
	}
	c.used = make([]bool, c.limit)
	c.used[0], c.used[1] = true, true
	if err := c.tree(root, nil, nil, 0); err != nil {
		return err
	}
	if freelist == noFreelist {
		return nil
	}
	return c.freelist(freelist)
}

// checkTree does the same for the state that one of the first two pages named once.
// Others may write meanwhile, as long as a transaction has that state open.
func checkTree(file io.ReaderAt, pageSize int, meta []byte) error {
	c := &pageCheck{file: file, size: pageSize, limit: order.Uint64(meta[40:])}
	if !validMeta(meta) || c.limit < 2 || c.limit > math.MaxInt64/uint64(pageSize) {
		return damaged("the page that names its state is not valid")
	}
	c.used = make([]bool, c.limit)
	c.used[0], c.used[1] = true, true
	return c.tree(order.Uint64(meta[16:]), nil, nil, 0)
}

// slowSize is how large a file is whose pages the check would fetch from the disk one
// by one for longer than anybody should wait.
const slowSize = 64 << 20

// readAhead reads a file from beginning to end, which is much faster than in the order
// of its trees, so that the system has it in memory when they are checked.
func readAhead(file io.ReaderAt, size int64, progress func(read int64) error) error {
	chunk := make([]byte, 4<<20)
	for read := int64(0); read < size; read += int64(len(chunk)) {
		if err := progress(read); err != nil {
			return err
		}
		if _, err := file.ReadAt(chunk[:min(int64(len(chunk)), size-read)], read); err != nil {
			return err
		}
	}
	return nil
}

type pageCheck struct {
	file  io.ReaderAt
	size  int
	limit uint64 // the first page behind all that were ever used
	used  []bool // found in a tree, or as part of something
	// pages are read into the buffer of their depth, where they stay while what is below
	// them is checked.
	pages [maxDepth + 1][]byte
	// progress, unless nil, is told now and then how many bytes were read.
	progress func(checked int64) error
	reads    int64
}

// meta finds the newer of the two valid meta pages, as bbolt does.
func (c *pageCheck) meta() (root, freelist uint64, err error) {
	var newest uint64
	found := false
	for i := range int64(2) {
		m := make([]byte, metaLength)
		if _, err := c.file.ReadAt(m, i*int64(c.size)+pageHeader); err != nil {
			return 0, 0, damaged("it is cut short: %v", err)
		}
		if !validMeta(m) {
			continue
		}
		if tx := order.Uint64(m[48:]); !found || tx > newest {
			found, newest = true, tx
			root, freelist, c.limit = order.Uint64(m[16:]), order.Uint64(m[32:]), order.Uint64(m[40:])
		}
	}
	if !found {
		return 0, 0, damaged("neither of the two pages it begins with is valid")
	}
	if c.limit > math.MaxInt64/uint64(c.size) {
		return 0, 0, damaged("it claims to have %d pages", c.limit)
	}
	last := make([]byte, 1)
	if _, err := c.file.ReadAt(last, int64(c.limit)*int64(c.size)-1); err != nil {
		return 0, 0, damaged("it is cut short: page %d is missing: %v", c.limit-1, err)
	}
	return root, freelist, nil
}

// validMeta judges one of the two pages that a file begins with, as bbolt does.
func validMeta(m []byte) bool {
	sum := uint64(14695981039346656037) // FNV-1a, without the allocation
	for _, b := range m[:metaLength-8] {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return order.Uint32(m) == magic && order.Uint32(m[4:]) == version && order.Uint64(m[metaLength-8:]) == sum
}

// read returns a page with what continues it, and counts it as used. It is good until
// the next one of that depth is read.
func (c *pageCheck) read(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= c.limit {
		return nil, damaged("page %d does not exist", id)
	}
	page := slices.Grow(c.pages[depth][:0], c.size)[:c.size]
	if _, err := c.file.ReadAt(page, int64(id)*int64(c.size)); err != nil {
		return nil, err
	}
	more := uint64(order.Uint32(page[12:]))
	if order.Uint64(page) != id || more >= c.limit-id {
		return nil, damaged("page %d is another one", id)
	}
	for i := id; i <= id+more; i++ {
		if c.used[i] {
			return nil, damaged("page %d is used twice", i)
		}
		c.used[i] = true
	}
	if more > 0 {
		whole := int((more + 1) * uint64(c.size)) //nolint:gosec // it fits into the file
		page = slices.Grow(page, whole-c.size)[:whole]
		if _, err := c.file.ReadAt(page[c.size:], int64(id+1)*int64(c.size)); err != nil {
			return nil, err
		}
	}
	c.pages[depth] = page
	return page, c.tell(int64(more) + 1)
}

// tell tells every few megabytes how far the check is.
func (c *pageCheck) tell(pages int64) error {
	const often = 1 << 10
	before := c.reads / often
	c.reads += pages
	if c.progress == nil || c.reads/often == before {
		return nil
	}
	return c.progress(c.reads * int64(c.size))
}

// tree checks the page and all below it: their keys are in order, none is below
// from, and all are below to, unless it is nil.
func (c *pageCheck) tree(id uint64, from, to []byte, depth int) error {
	if depth > maxDepth {
		return damaged("page %d is too deep in its tree", id)
	}
	page, err := c.read(id, depth)
	if err != nil {
		return err
	}
	if err := c.elements(page, from, to, depth); err != nil {
		if errors.Is(err, errPage) {
			return damaged("page %d: %v", id, err)
		}
		return err
	}
	return nil
}

// errPage is behind the faults within one page, which does not know its number.
var errPage = errors.New("its elements are damaged")

// elements checks what is in a page, which may be one within another.
func (c *pageCheck) elements(page []byte, from, to []byte, depth int) error {
	flags, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	branch := flags == branchFlag
	if !branch && flags != leafFlag || branch && count == 0 || pageHeader+count*elementLength > len(page) {
		return errPage
	}
	if count == 0 {
		return nil
	}
	var before []byte
	for i := range count {
		k := key(page, i, branch)
		if len(k) == 0 || i > 0 && bytes.Compare(before, k) >= 0 {
			return errPage
		}
		before = k
	}
	if bytes.Compare(key(page, 0, branch), from) < 0 || to != nil && bytes.Compare(before, to) >= 0 {
		return errPage
	}
	for i := range count {
		if err := c.below(page, i, count, branch, to, depth); err != nil {
			return err
		}
	}
	return nil
}

// below checks what an element of a page leads to.
func (c *pageCheck) below(page []byte, i, count int, branch bool, to []byte, depth int) error {
	element := page[pageHeader+i*elementLength:]
	if branch {
		if i+1 < count {
			to = key(page, i+1, branch)
		}
		return c.tree(order.Uint64(element[8:]), key(page, i, branch), to, depth+1)
	}
	value := part(element, uint64(order.Uint32(element[4:]))+uint64(order.Uint32(element[8:])), order.Uint32(element[12:]))
	if value == nil {
		return errPage
	}
	if order.Uint32(element)&bucketFlag == 0 {
		return nil
	}
	if len(value) < bucketHeader {
		return errPage
	}
	if root := order.Uint64(value); root != 0 {
		return c.tree(root, nil, nil, depth+1)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || order.Uint16(inline[8:]) != leafFlag || depth > maxDepth {
		return errPage
	}
	return c.elements(inline, nil, nil, depth+1)
}

// key returns the key of an element, or nil if it is not within the page.
func key(page []byte, i int, branch bool) []byte {
	element := page[pageHeader+i*elementLength:]
	if branch {
		return part(element, uint64(order.Uint32(element)), order.Uint32(element[4:]))
	}
	return part(element, uint64(order.Uint32(element[4:])), order.Uint32(element[8:]))
}

// part returns length bytes at pos, or nil if they are not all there.
func part(b []byte, pos uint64, length uint32) []byte {
	if pos > uint64(len(b)) || uint64(length) > uint64(len(b))-pos {
		return nil
	}
	return b[pos : pos+uint64(length)]
}

// freelist checks the list of free pages, where a file has one.
func (c *pageCheck) freelist(id uint64) error {
	page, err := c.read(id, 0)
	if err != nil {
		return err
	}
	ids, count := page[pageHeader:], uint64(order.Uint16(page[10:]))
	if count == math.MaxUint16 { // then the first number is the count
		count, ids = order.Uint64(ids), ids[8:]
	}
	if order.Uint16(page[8:]) != freelistFlag || count > uint64(len(ids))/8 {
		return damaged("page %d is no list of free pages", id)
	}
	for i := range count {
		free := order.Uint64(ids[8*i:])
		if free < 2 || free >= c.limit || c.used[free] {
			return damaged("page %d is called free", free)
		}
		c.used[free] = true
	}
	return nil
}
