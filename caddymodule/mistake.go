package caddymodule

import "fmt"

// mistake is an error in the configuration: the field that is to be corrected,
// by its path in the JSON, such as servers[1].auth.client_id, and what to do.
// The Caddyfile adapter makes a line of the path.
type mistake struct {
	path string
	text string
}

func (m *mistake) Error() string {
	if m.path == "" {
		return m.text
	}
	return m.path + ": " + m.text
}

func wrong(path, format string, args ...any) error {
	return &mistake{path, fmt.Sprintf(format, args...)}
}

// index returns the path of an entry of a list.
func index(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
