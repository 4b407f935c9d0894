package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// commandsIn splits a line as a shell does, into commands and their words: quotes,
// comments, lists, pipes and $(…), whose commands come first.
func commandsIn(line string) (all [][]string) {
	var words []string
	word, quote := "", rune(0)
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word)
		}
		word, inWord = "", false
	}
	endCommand := func() {
		endWord()
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	for i := 0; i < len(line); {
		r, rest := rune(line[i]), line[i:]
		end := strings.IndexByte(rest, ')')
		switch {
		case quote != '\'' && strings.HasPrefix(rest, "$(") && end > 0:
			all = append(all, commandsIn(rest[2:end])...)
			word, inWord = word+"x", true
			i += end
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inWord = r, true
		case quote != 0:
			word += line[i : i+1]
		case r == '#' && !inWord:
			endCommand()
			return all
		case strings.ContainsRune(" \t\n", r):
			endWord()
		case strings.ContainsRune("|;&", r):
			endCommand()
		default:
			word, inWord = word+line[i:i+1], true
		}
		i++
	}
	endCommand()
	return all
}

// assignment matches a variable that is set, alone or for a command.
var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// shell knows what the documentation may show.
type shell struct {
	inline bool // in a sentence, a command can be named without its arguments
}

func (s shell) check(words []string) error {
	args := words[1:]
	switch words[0] {
	case "caddy", "./caddy":
		return s.caddy(args)
	case "curl":
		return curl(args)
	case "go":
		return s.goCommand(args)
	case "git":
		if len(args) != 2 || args[0] != "clone" || args[1] != "https://github.com/mcpoauth/caddy-mcp-oauth" {
			return errors.New("want git clone https://github.com/mcpoauth/caddy-mcp-oauth")
		}
	case "xcaddy":
		if len(args) < 3 || args[0] != "build" || !slices.ContainsFunc(args, func(arg string) bool {
			return strings.HasPrefix(arg, "github.com/mcpoauth/caddy-mcp-oauth")
		}) {
			return errors.New("want xcaddy build … --with github.com/mcpoauth/caddy-mcp-oauth")
		}
	case "./test.sh":
		return oneOf(strings.Join(args, " "), "", "quick")
	case "node":
		return exists(args[0])
	case "claude":
		if _, err := url.Parse(args[len(args)-1]); err != nil || strings.Join(args[:4], " ") != "mcp add --transport http" {
			return errors.New("want claude mcp add --transport http <name> <URL>")
		}
	case "cat", "cd", "date", "echo", "export", "grep", "jq", "openssl":
	default:
		return fmt.Errorf("no test knows %q; teach this one to check it", words[0])
	}
	return nil
}

// caddy checks a command of Caddy, or of this plugin, without running it.
func (s shell) caddy(args []string) error {
	root := &cobra.Command{Use: "caddy"}
	ours := &cobra.Command{Use: "mcp-oauth"}
	Add(ours)
	root.AddCommand(ours)
	for name, command := range caddycmd.Commands() {
		cmd := &cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}}
		if command.CobraFunc != nil {
			command.CobraFunc(cmd)
		} else if command.Flags != nil {
			cmd.Flags().AddGoFlagSet(command.Flags)
		}
		if name != ours.Name() {
			root.AddCommand(cmd)
		}
	}
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil || cmd == root {
		return fmt.Errorf("there is no such command: %w", err)
	}
	if slices.Equal(rest, []string{"--help"}) {
		return nil
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	rest = cmd.Flags().Args()
	if len(rest) == 0 && (s.inline || cmd == ours) || slices.Equal(rest, []string{"…"}) {
		return nil
	}
	if cmd.HasSubCommands() && len(rest) > 0 {
		return fmt.Errorf("%s has no %q", cmd.CommandPath(), rest[0])
	}
	return errors.Join(cmd.ValidateArgs(rest), cmd.ValidateRequiredFlags())
}

// goCommand checks what is run, built or tested: that it is here.
func (s shell) goCommand(args []string) error {
	if args[0] == "install" {
		return oneOf(strings.Join(args[1:], " "), "github.com/caddyserver/xcaddy/cmd/xcaddy@latest")
	}
	var run, dir string
	for i, arg := range args {
		switch {
		case arg == "-run" || arg == "-fuzz":
			if args[i+1] != "^$" {
				run = args[i+1]
			}
		case dir == "" && strings.HasPrefix(arg, "./"):
			dir = strings.TrimSuffix(arg, "/...")
			if args[0] == "run" && dir == "./cmd/caddy" {
				return s.caddy(args[i+1:])
			}
		}
	}
	if err := errors.Join(oneOf(args[0], "run", "build", "test"), exists(dir)); err != nil || run == "" {
		return err
	}
	sources, err := filepath.Glob(filepath.Join(repository, dir, "*_test.go"))
	if err != nil {
		return err
	}
	wanted := regexp.MustCompile(run)
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		for _, name := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			if wanted.Match(name[1]) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no test %s", dir, run)
}

// curl checks that a request to the admin API has a route, and that what is sent as
// JSON is JSON.
func curl(args []string) error {
	method, target := http.MethodGet, ""
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-X":
			i++
			method = args[i]
		case arg == "-H":
			i++
		case arg == "-d":
			i++
			if data := args[i]; strings.HasPrefix(data, "{") && !json.Valid([]byte(data)) {
				return fmt.Errorf("%s is not JSON", data)
			}
			method = http.MethodPost
		case !strings.HasPrefix(arg, "-"):
			target = arg
		}
	}
	path, isAdmin := strings.CutPrefix(strings.TrimPrefix(target, "http://"), "localhost:2019")
	if !isAdmin {
		return nil
	}
	document, err := os.ReadFile(filepath.Join(repository, "caddymodule/adminapi/openapi.json"))
	if err != nil {
		return err
	}
	var api struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(document, &api); err != nil {
		return err
	}
	path, _, _ = strings.Cut(path, "?")
	for pattern, methods := range api.Paths {
		route := regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(pattern, `[^/]+`) + "$")
		if _, ok := methods[strings.ToLower(method)]; ok && route.MatchString(path) {
			return nil
		}
	}
	return fmt.Errorf("the admin API has no %s %s", method, path)
}

func oneOf(word string, words ...string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return fmt.Errorf("%q is none of %q", word, words)
}

func exists(path string) error {
	_, err := os.Stat(filepath.Join(repository, path))
	return err
}

// A command that is not there, or does not take what is shown, does not pass.
func TestShellRefuses(t *testing.T) {
	for _, line := range []string{
		"caddy mcp-oauth peeple",
		"caddy mcp-oauth people shoe",
		"caddy mcp-oauth keys --color red",
		"caddy mcp-oauth keys make",
		"caddy mcp-oauth restore a b",
		"caddy runn",
		"caddy run --konfig Caddyfile",
		"curl localhost:2019/mcp_oauth/peeple",
		"curl -X DELETE localhost:2019/mcp_oauth/health",
		"curl localhost:2019/mcp_oauth/keys -d '{name:1}'",
		"go run ./none",
		"go run ./cmd/caddy runn",
		"go test ./caddymodule/cli -run TestNone",
		"git clone https://example.com/none",
		"echo $(caddy mcp-oauth peeple)",
		"A=1 caddy mcp-oauth peeple | grep x  # and why",
		"./test.sh slow",
		"node examples/none.mjs",
		"rm -rf /",
	} {
		var err error
		for _, words := range commandsIn(line) {
			err = errors.Join(err, shell{}.check(words))
		}
		if err == nil {
			t.Errorf("%s passed", line)
		}
	}
}
