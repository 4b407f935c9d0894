package caddymodule

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// option is one option of a block of the Caddyfile. The tables of options are
// the grammar: what is read, what is said about errors, and what the
// documentation lists.
type option[T any] struct {
	name string
	// args are the arguments as the documentation writes them: <any text>,
	// one|of|these, <one or more>..., [<what can be left out>].
	args string
	// field is the member of the JSON that the option sets, if it is called
	// otherwise: "x[]" appends to the list x, "x.*" sets the member of x that
	// the first argument names. Both can be repeated. "-" sets none.
	field string
	read  func(p *parser, to *T, l line) error
	block grammar // what may follow in braces; nil for nothing
}

// line is an option as it was read.
type line struct {
	args []string
	path string // in the JSON
}

// block is the table of the options of a block.
type block[T any] []option[T]

// grammar is a block of any type.
type grammar interface {
	names() []string
}

// free is a block whose lines are not options.
type free string

func (f free) names() []string { return nil }

func (b block[T]) names() []string {
	names := make([]string, len(b))
	for i, o := range b {
		names[i] = o.name
	}
	return slices.Compact(names)
}

func (o option[T]) usage() string { return strings.TrimSpace(o.name + " " + o.args) }

func (o option[T]) repeats() bool {
	return strings.HasSuffix(o.field, "[]") || strings.HasSuffix(o.field, ".*")
}

// read reads a block into to, which is at a path of the JSON.
func (b block[T]) read(p *parser, path string, to *T) error {
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := b.readOption(p, path, to); err != nil {
			return err
		}
	}
	return nil
}

func (b block[T]) readOption(p *parser, path string, to *T) error {
	token := p.Token()
	args := p.RemainingArgs()
	o, err := b.find(p, token.Text, args)
	if err == nil {
		err = o.check(args)
	}
	if err != nil {
		return withLine(token, err)
	}
	at := p.lines.pathOf(path, o.name, o.field, args)
	if first, twice := p.lines[at]; twice {
		return withLine(token, fmt.Errorf("%s is already set on line %d; remove one", first.label, first.token.Line))
	}
	p.lines[at] = written{token, o.label(args)}
	if o.block == nil && p.opensBlock() {
		return withLine(token, fmt.Errorf("%s takes no block; remove { and what is in it", o.name))
	}
	return o.read(p, to, line{args, at})
}

// find returns the option of a name. Several may have the same name, and differ
// in the word that comes first.
func (b block[T]) find(p *parser, name string, args []string) (option[T], error) {
	var words []string
	for _, o := range b {
		if o.name != name {
			continue
		}
		expected := o.arguments()
		if len(expected) == 0 || expected[0].words == nil || len(args) > 0 && slices.Contains(expected[0].words, args[0]) {
			return o, nil
		}
		words = append(words, expected[0].words...)
	}
	if words == nil {
		return option[T]{}, p.unknown(name, b.names())
	}
	if len(args) == 0 {
		return option[T]{}, fmt.Errorf("%s: an argument is missing; use one of: %s", name, strings.Join(words, ", "))
	}
	return option[T]{}, unknownWord(name, args[0], words)
}

// unknown says what to write for an option that the block does not have.
func (p *parser) unknown(name string, known []string) error {
	if name == "{" {
		return fmt.Errorf("a { must stand on the line of its option")
	}
	var titles []string
	for _, b := range p.blocks {
		if slices.Contains(b.grammar.names(), name) {
			titles = append(titles, b.title)
		}
	}
	if titles == nil {
		return fmt.Errorf("unknown option %q%s", name, config.Choice(name, known))
	}
	text := name + " belongs in "
	if len(titles) > 1 {
		text += "one of: "
	}
	text += strings.Join(titles, "; ")
	for _, k := range known {
		if k == name+"s" || k+"s" == name {
			text += "; or did you mean " + k + "?"
		}
	}
	return errors.New(text)
}

func unknownWord(what, word string, known []string) error {
	return fmt.Errorf("%s: unknown value %q%s", what, word, config.Choice(word, known))
}

// check checks the arguments of an option.
func (o option[T]) check(args []string) error {
	expected := o.arguments()
	for i, e := range expected {
		switch {
		case i >= len(args) && !e.optional:
			return fmt.Errorf("%s: %s is missing; write `%s` (a {$NAME} that is not set leaves nothing)", o.name, e.text, o.usage())
		case i >= len(args):
			return nil
		case args[i] == "" && !e.optional:
			return fmt.Errorf("%s: %s is empty; write it, or remove the line (a {$NAME} that is not set leaves nothing)", o.name, e.text)
		case e.words != nil && !slices.Contains(e.words, args[i]):
			return unknownWord(o.name, args[i], e.words)
		case e.many:
			if i := slices.Index(args, ""); i >= 0 {
				return fmt.Errorf("%s: the argument %d is empty; remove it (a {$NAME} that is not set leaves nothing)", o.name, i+1)
			}
			return nil
		}
	}
	if len(args) > len(expected) {
		return o.tooMany(args[len(expected)])
	}
	return nil
}

func (o option[T]) tooMany(arg string) error {
	if o.block != nil {
		return fmt.Errorf("%s: write %q and what follows on a line of its own in the block: `%s { … }`", o.usage(), arg, o.usage())
	}
	if o.args == "" {
		return fmt.Errorf("%s takes no argument; remove %q", o.name, arg)
	}
	return fmt.Errorf("%s: remove %q, or quote an argument that has spaces; write `%s`", o.name, arg, o.usage())
}

// label is what messages call the option: by its name, and where there can be
// several by that of the one.
func (o option[T]) label(args []string) string {
	if o.repeats() && (strings.HasPrefix(o.args, "<id>") || strings.HasPrefix(o.args, "<name>")) {
		return o.name + " " + args[0]
	}
	return o.name
}

// argument is one argument of an option.
type argument struct {
	text           string
	words          []string // the only ones it can be; nil for any
	optional, many bool
}

var argumentPattern = regexp.MustCompile(`(\[?)(<[^>]*>|[^\s\]]+?)(\.\.\.)?(\]|\s|$)`)

func (o option[T]) arguments() []argument {
	var list []argument
	optional := false
	for _, match := range argumentPattern.FindAllStringSubmatch(o.args, -1) {
		optional = optional || match[1] != "" // all that follow, too
		a := argument{text: match[2], optional: optional, many: match[3] != ""}
		if !strings.HasPrefix(a.text, "<") {
			a.words = strings.Split(a.text, "|")
		}
		list = append(list, a)
	}
	return list
}
