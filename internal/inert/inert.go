// Package inert writes answers in which nothing that others wrote means
// anything to what processes them behind us.
//
// A template engine around a handler, such as Caddy's `templates`, takes "{{"
// in an answer for its own, wherever it is. So the characters with which
// such languages begin are written in the other way that HTML and JSON have for
// them; who reads the answer sees no difference. "<" needs no care here: the
// writers of HTML and JSON never leave one in a text. A shell, into which operators copy
// commands, is such a process, too.
package inert

import "bytes"

// HTML returns a page in which every text and attribute is inert. Its style
// sheet, which is ours, stays as it is.
func HTML(page []byte) []byte {
	before, style, _ := bytes.Cut(page, []byte("<style>"))
	style, after, found := bytes.Cut(style, []byte("</style>"))
	if !found {
		return text(page)
	}
	return bytes.Join([][]byte{text(before), []byte("<style>"), style, []byte("</style>"), text(after)}, nil)
}

// text takes from template engines what they begin with: {{ x }}, ${x}, [[ x ]].
func text(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("{"), []byte("&#123;"))
	return bytes.ReplaceAll(b, []byte("[["), []byte("&#91;&#91;"))
}

// JSON returns a valid document in which every string is inert. The braces of its
// objects and brackets of its arrays stay: two objects never begin side by side.
func JSON(document []byte) []byte {
	out := make([]byte, 0, len(document)+16)
	inside, escaped := false, false
	for i, c := range document {
		switch {
		case escaped:
			escaped = false
		case c == '"':
			inside = !inside
		case inside && c == '\\':
			escaped = true
		case inside && c == '{':
			out = append(out, `\u007b`...)
			continue
		case inside && c == '[' && bytes.HasPrefix(document[i+1:], []byte("[")):
			out = append(out, `\u005b`...)
			continue
		}
		out = append(out, c)
	}
	return out
}
