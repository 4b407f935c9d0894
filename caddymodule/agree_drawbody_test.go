package caddymodule

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// drawBody draws the rest of an answer.
func drawBody(t *rapid.T, x *exchange, a *answered, head string) {
	var pieces []string
	for i, size := range rapid.SliceOfN(rapid.SampledFrom([]int{1, 20, 1024, 4096, 40000}), 0, 4).Draw(t, "answer's pieces") {
		pieces = append(pieces, filled(fmt.Sprintf("[%s.%d]", x.ID, i), size))
	}
	if x.Method == "HEAD" || strings.Contains(head, " 204 ") || strings.Contains(head, " 304 ") {
		pieces, a.End = nil, "close" // what ends a body is already too much
	}
	whole := strings.Join(pieces, "")
	framing := rapid.SampledFrom([]string{
		"length", "length", "length", "chunked", "chunked", "chunked", "until closed", "gzip", "too much", "too little", "twice", "both", "bad chunk", "trailers",
		"measured events", "measured parts",
	}).Draw(t, "answer's framing")
	if strings.Contains(head, "Incremental") && framing != "length" {
		framing = "chunked"
	}
	measured := func(n int) {
		a.Parts = append(a.Parts, part{Text: head + fmt.Sprintf("Content-Length: %d\r\n\r\n", n)})
	}
	switch framing {
	case "length":
		measured(len(whole))
		a.Parts = append(a.Parts, part{Text: whole})
	case "twice":
		measured(len(whole))
		a.Parts[len(a.Parts)-1].Text = head + fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d\r\n\r\n", len(whole), len(whole)+rapid.IntRange(0, 1).Draw(t, "more"))
		a.Parts = append(a.Parts, part{Text: whole})
		a.End = "close"
	case "measured events", "measured parts": // of known length, and passed on as they come all the same
		if framing == "measured parts" {
			head += "Incremental: ?1\r\n"
		} else if !strings.Contains(head, "Content-Type:") {
			head += "Content-Type: text/event-stream\r\n"
		}
		measured(len(whole))
		if framing == "measured parts" || firstType(head) == "text/event-stream" {
			a.passOn(pieces, func(s string) string { return s })
			a.Unmeasured = false
			return
		}
		a.Parts = append(a.Parts, part{Text: whole})
	case "too little":
		measured(len(whole) + 10)
		a.Parts = append(a.Parts, part{Text: whole})
		a.End = rapid.SampledFrom([]string{"close", "reset"}).Draw(t, "end")
		a.Torn = a.End == "reset"
	case "too much":
		a.Parts = append(a.Parts, part{Text: head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(whole)) + whole + smuggled})
		a.End = "close"
	case "gzip":
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(whole))
		_ = z.Close()
		head += "Content-Encoding: gzip\r\n"
		measured(b.Len())
		a.Parts = append(a.Parts, part{Text: b.String()})
		a.Unmeasured = true // where it is unpacked
	case "until closed":
		a.Parts = append(a.Parts, part{Text: head + "Connection: close\r\n\r\n", Headed: true})
		a.passOn(pieces, func(s string) string { return s })
		a.End = "close"
	default:
		drawChunks(t, a, head, framing, pieces)
	}
}

// smuggled is an answer to somebody else, should it ever be taken for one.
const smuggled = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nsmuggled"

func drawChunks(t *rapid.T, a *answered, head, framing string, pieces []string) {
	head += "Transfer-Encoding: chunked\r\n"
	if framing == "both" {
		head += "Content-Length: 3\r\n"
	}
	if framing == "trailers" {
		head += "Trailer: X-Late\r\n"
	}
	a.Parts = append(a.Parts, part{Text: head + "\r\n", Headed: framing != "both"}) // of which the length counts over HTTP/1.0
	a.passOn(pieces, func(s string) string { return fmt.Sprintf("%x;ext=1\r\n%s\r\n", len(s), s) })
	switch {
	case framing == "bad chunk":
		a.Parts = append(a.Parts, part{Text: rapid.SampledFrom([]string{"zz\r\n", "5\r\nabc", "-1\r\n", "ffffffffffffffffff\r\n", "3\r\nabcd\r\n"}).Draw(t, "bad")})
		a.End, a.Torn = "close", true
	case framing == "trailers":
		a.Parts = append(a.Parts, part{Text: "0\r\nX-Late: yes\r\n\r\n"})
	case chance(t, 15, "break off"):
		a.End = rapid.SampledFrom([]string{"close", "reset"}).Draw(t, "end")
		a.Torn = a.End == "reset"
	default:
		a.Parts = append(a.Parts, part{Text: "0\r\n\r\n"})
	}
}

// firstType is the media type that counts of those in a header.
func firstType(head string) string {
	_, rest, _ := strings.Cut(head, "Content-Type: ")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func (a *answered) text() string {
	text := ""
	for _, p := range a.Parts {
		text += p.Text
	}
	return text
}

// passOn adds a body of unknown length, of which each piece has to be passed on before
// there is another.
func (a *answered) passOn(pieces []string, framed func(string) string) {
	a.Unmeasured = true
	sent := 0
	for _, piece := range pieces {
		sent += len(piece)
		a.Parts = append(a.Parts, part{Text: framed(piece), Until: sent})
	}
}
