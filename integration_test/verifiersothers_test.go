//go:build integration

package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// What reads tokens, one a line, and answers each with one: accepted and the
// subject, or refused and why.
const (
	pythonDriver = `
import sys
from verify import Verifier
verifier = Verifier(sys.argv[1], sys.argv[2])
for token in sys.stdin:
    try:
        print("accepted", verifier.verify(token.strip())["sub"])
    except Exception as e:
        print("refused", repr(e).replace("\n", " "))
`
	typeScriptDriver = `
import { createInterface } from "node:readline";
import { verifier } from "./verify.ts";
const verify = verifier(process.argv[2]!, process.argv[3]!);
for await (const token of createInterface({ input: process.stdin })) {
	try {
		console.log("accepted", (await verify(token)).sub);
	} catch (e) {
		console.log("refused", String(e).replaceAll("\n", " "));
	}
}
`
)

// python returns a Python that has what the verifier needs.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} { // the second is what apt installs packages for
		if exec.Command(name, "-c", "import jwt, cryptography").Run() == nil {
			return name
		}
	}
	t.Fatal("no Python has PyJWT and cryptography: run ./test.sh, or install python3-jwt and python3-cryptography")
	return ""
}

// The verifiers that docs/verify shows in other languages.
func TestVerifiersInOtherLanguages(t *testing.T) {
	for name, tt := range map[string]struct {
		file, driver string
		command      func(t *testing.T, driver string) *exec.Cmd
	}{
		"Python": {"verify.py", pythonDriver, func(t *testing.T, driver string) *exec.Cmd { return exec.Command(python(t), driver) }},
		"TypeScript": {"verify.ts", typeScriptDriver, func(t *testing.T, driver string) *exec.Cmd {
			if err := os.Symlink(programs.Script(t, "node_modules"), filepath.Join(filepath.Dir(driver), "node_modules")); err != nil {
				t.Fatal(err)
			}
			cmd := programs.Node(t, driver)
			cmd.Args[1] = driver
			return cmd
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			shown, err := os.ReadFile(filepath.Join("..", "docs", "verify", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			driver := filepath.Join(dir, "main"+filepath.Ext(tt.file))
			for path, text := range map[string][]byte{filepath.Join(dir, tt.file): shown, driver: []byte(tt.driver)} {
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := tt.command(t, driver)
			verifies(t, cmd)
		})
	}
}

// verifies asks a verifier about all cases, and about what the built program says.
func verifies(t *testing.T, command *exec.Cmd) {
	t.Helper()
	ask := func(site, server string, tokens ...string) []string {
		t.Helper()
		cmd := exec.Command(command.Path, append(command.Args[1:len(command.Args):len(command.Args)], site, server)...)
		cmd.Dir, cmd.Env = command.Dir, command.Env
		cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(tokens, "\n")+"\n"), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		answers := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(answers) != len(tokens) {
			t.Fatalf("%d answers to %d tokens:\n%s", len(answers), len(tokens), out)
		}
		return answers
	}
	site, server, cases := verifierCases(t)
	var tokens []string
	for _, c := range cases {
		tokens = append(tokens, c.token)
	}
	const accepted = "accepted virtual_key:alice"
	for i, answer := range ask(site, server, tokens...) {
		if c := cases[i]; (answer == accepted) != c.good || !c.good && !strings.HasPrefix(answer, "refused ") {
			t.Errorf("%s: %s", c.name, answer)
		}
		if testing.Verbose() {
			fmt.Println(cases[i].name+":", answer)
		}
	}
	site, server, token := realStatement(t)
	if answer := ask(site, server, token)[0]; answer != accepted {
		t.Errorf("of the built program: %s", answer)
	}
	if answer := ask(site, server+"2", token)[0]; answer == accepted {
		t.Error("another server takes it")
	}
}
