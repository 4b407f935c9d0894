package hashchain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
)

// maxLine is the longest line that is read.
const maxLine = 1 << 20

// Hash is the SHA-256 of a line.
type Hash [sha256.Size]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String writes.
func ParseHash(text string) (h Hash, err error) {
	if n, err := hex.Decode(h[:], []byte(text)); err != nil || n != len(h) || len(text) != 2*len(h) {
		return Hash{}, fmt.Errorf("%q is not a hash; it has 64 hexadecimal digits", text)
	}
	return h, nil
}

// Head is the end of a chain: the number of its last line, and that line's hash.
// The zero value is that of a chain without lines.
type Head struct {
	Seq  uint64
	Hash Hash
}

// Append appends a line to dst, with the link that makes it the next of the
// chain, and returns the new end. line is a JSON object without a line end; any other text
// becomes the member "text" of one. torn is how many bytes of incomplete lines are
// before it.
func (h Head) Append(dst, line []byte, torn int) ([]byte, Head) {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' || bytes.ContainsAny(line, "\r\n") {
		text, _ := json.Marshal(string(line)) // texts always marshal
		line = fmt.Appendf(nil, `{"text":%s}`, text)
	}
	begin := len(dst)
	dst = append(dst, line[:len(line)-1]...)
	if len(bytes.TrimSpace(line[1:len(line)-1])) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, `"chain":{"seq":`...)
	dst = strconv.AppendUint(dst, h.Seq+1, 10)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, h.Hash[:])
	dst = append(dst, '"')
	if torn > 0 {
		dst = append(dst, `,"torn":`...)
		dst = strconv.AppendInt(dst, int64(torn), 10)
	}
	next := Head{h.Seq + 1, sha256.Sum256(dst[begin:])}
	dst = append(dst, `,"hash":"`...)
	dst = hex.AppendEncode(dst, next.Hash[:])
	return append(dst, "\"}}\n"...), next
}

// link is what a line says of its place in the chain.
type link struct {
	seq    uint64
	prev   Hash
	torn   int
	hash   Hash // as the line says
	intact bool // and it is that of the line
}

var linkPattern = regexp.MustCompile(`"chain":\{"seq":([1-9][0-9]{0,18}),"prev":"([0-9a-f]{64})"(?:,"torn":([1-9][0-9]{0,8}))?(,"hash":"([0-9a-f]{64})"\}\})$`)

// maxLink is longer than any link.
const maxLink = 256

// parseLink reads the link of a line without its line end. It returns false if that has none.
func parseLink(line []byte) (link, bool) {
	tail := line[max(len(line)-maxLink, 0):]
	m := linkPattern.FindSubmatchIndex(tail)
	if m == nil || len(line) > maxLine {
		return link{}, false
	}
	part := func(i int) string {
		if m[2*i] < 0 {
			return ""
		}
		return string(tail[m[2*i]:m[2*i+1]])
	}
	var l link
	l.seq, _ = strconv.ParseUint(part(1), 10, 64) // the pattern has digits that fit
	l.torn, _ = strconv.Atoi(part(3))
	l.prev, _ = ParseHash(part(2))
	l.hash, _ = ParseHash(part(5))
	l.intact = sha256.Sum256(line[:len(line)-len(part(4))]) == l.hash
	return l, true
}

func (l link) head() Head { return Head{l.seq, l.hash} }
