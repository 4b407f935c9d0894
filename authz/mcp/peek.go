package mcp

import (
	"encoding/json"
	"strconv"
)

// Peek finds out what JSON-RPC messages are about while they pass, in one pass and
// without keeping them. It judges nothing: of what repeats, the last counts. The zero
// value is ready.
type Peek struct {
	Method string // of the last request or notification
	Name   string // of its params
	// Answer is the member that the last response had, "result" or "error".
	Answer string
	Code   int // of its error
	// ToolFailed tells that its result says isError.
	ToolFailed bool

	depth    int
	objects  [maxPeekDepth]bool   // by depth, what is open
	keyNext  [maxPeekDepth]bool   // by depth, in an object, a name comes next
	names    [maxPeekDepth]string // by depth, the last name
	batch    int                  // 1 inside of an array of messages
	inText   bool
	escaped  bool
	keeps    bool // what is read now may matter
	text     []byte
	line     int // of an event stream: how much of "data:" the line has, -1 if it is another
	dataLine bool
	anyInRow bool // the line has anything
}

const (
	maxPeekDepth = 5
	maxPeekText  = 512
)

// Write reads on in JSON. It never fails.
func (p *Peek) Write(b []byte) (int, error) {
	for _, c := range b {
		p.read(c)
	}
	return len(b), nil
}

// WriteEvents reads on in an event stream whose data is JSON.
func (p *Peek) WriteEvents(b []byte) {
	const data = "data:"
	for _, c := range b {
		switch {
		case c == '\n' || c == '\r':
			if !p.anyInRow {
				p.end()
			}
			p.line, p.dataLine, p.anyInRow = 0, false, false
		case p.dataLine:
			p.read(c)
		case p.line >= 0 && p.line < len(data) && c == data[p.line]:
			p.line++
			p.anyInRow = true
			p.dataLine = p.line == len(data)
		default:
			p.line, p.anyInRow = -1, true
		}
	}
}

// end forgets where in a message it is.
func (p *Peek) end() {
	p.depth, p.batch, p.inText, p.escaped, p.keeps, p.text = 0, 0, false, false, false, p.text[:0]
}

func (p *Peek) read(c byte) {
	if p.inText {
		p.readText(c)
		return
	}
	switch c {
	case '"':
		p.inText, p.keeps, p.text = true, p.depth > 0 && p.depth < maxPeekDepth, p.text[:0]
	case '{', '[':
		p.open(c == '{')
	case '}', ']':
		p.literal()
		if p.depth--; p.depth <= 0 {
			p.end()
		}
	case ',':
		p.literal()
		if p.depth > 0 && p.depth < maxPeekDepth {
			p.keyNext[p.depth] = p.objects[p.depth]
		}
	case ' ', '\t', '\r', '\n', ':':
	default:
		if p.depth < maxPeekDepth && len(p.text) < maxPeekText {
			p.text = append(p.text, c)
		}
	}
}

func (p *Peek) open(object bool) {
	if p.depth == 0 && !object {
		p.batch = 1
	}
	if p.depth == p.batch && object { // a message begins
		p.Method, p.Name = "", ""
	}
	if p.depth == 1+p.batch && object { // the value of a member of the message
		p.answered(p.names[p.depth])
	}
	p.depth++
	p.text = p.text[:0]
	if p.depth < maxPeekDepth {
		p.objects[p.depth], p.keyNext[p.depth], p.names[p.depth] = object, object, ""
	}
}

// answered notes a member that makes a message a response.
func (p *Peek) answered(name string) {
	if name == "result" || name == "error" {
		p.Answer, p.Code, p.ToolFailed = name, 0, false
	}
}

func (p *Peek) readText(c byte) {
	switch {
	case p.escaped:
		p.escaped = false
	case c == '\\':
		p.escaped = true
	case c == '"':
		p.inText = false
		p.textRead()
		return
	}
	if p.keeps && len(p.text) < maxPeekText {
		p.text = append(p.text, c)
	}
}

// textRead takes a string: a name or a value.
func (p *Peek) textRead() {
	raw := p.text
	p.text = p.text[:0]
	if !p.keeps {
		return
	}
	if p.objects[p.depth] && p.keyNext[p.depth] {
		p.keyNext[p.depth] = false
		p.names[p.depth] = nameOf(raw)
		return
	}
	switch message := 1 + p.batch; {
	case p.depth == message && p.names[p.depth] == "method":
		p.Method = unquoted(raw)
	case p.depth == message && p.names[p.depth] == "result":
		p.answered("result")
	case p.depth == message+1 && p.names[message] == "params" && p.names[p.depth] == "name":
		p.Name = unquoted(raw)
	}
}

// literal takes a number, true, false or null, if one just ended.
func (p *Peek) literal() {
	if len(p.text) == 0 || p.depth == 0 || p.depth >= maxPeekDepth {
		p.text = p.text[:0]
		return
	}
	switch message := 1 + p.batch; {
	case p.depth == message && p.names[p.depth] == "result":
		p.answered("result")
	case p.depth != message+1:
	case p.names[message] == "error" && p.names[p.depth] == "code":
		p.Code, _ = strconv.Atoi(string(p.text))
	case p.names[message] == "result" && p.names[p.depth] == "isError":
		p.ToolFailed = string(p.text) == "true"
	}
	p.text = p.text[:0]
}

// nameOf returns those of the names that matter, without an allocation.
func nameOf(raw []byte) string {
	switch string(raw) {
	case "method":
		return "method"
	case "params":
		return "params"
	case "name":
		return "name"
	case "result":
		return "result"
	case "error":
		return "error"
	case "code":
		return "code"
	case "isError":
		return "isError"
	}
	return ""
}

// unquoted returns what a string stands for; what is cut off in an escape, as it is.
func unquoted(raw []byte) string {
	var s string
	if json.Unmarshal([]byte(`"`+string(raw)+`"`), &s) != nil {
		return string(raw)
	}
	return s
}
