package access

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']+)' applied to '(.*)'$`)
	tooMuch    = regexp.MustCompile(`^(?:mismatched|extraneous) input '(.+)' expecting <EOF>$`)
)

// inWords says what CEL's checker found at a byte of an expression.
func inWords(message, text string, at int, env *cel.Env, k Kind) slip {
	path := pathPattern.FindString(text[at:])
	name, start := "", at // of the function whose bracket is here
	if strings.HasPrefix(text[at:], "(") {
		start = len(strings.TrimRightFunc(text[:at], isWordRune))
		name = text[start:at]
	}
	if m := overload.FindStringSubmatch(message); m != nil {
		return slip{start, noOverload(m[1], m[2], env)}
	}
	switch {
	case undeclared.MatchString(message) && name != "":
		return slip{start, "there is no function " + name + didYouMean(near(name, functionAliases, functionsOf(env)), " "+commonFunctions)}
	case undeclared.MatchString(message):
		return slip{at, noVariable(path, k)}
	case strings.HasPrefix(message, "mismatched input '<EOF>'"):
		return slip{at, "it ends where something is missing"}
	case strings.HasPrefix(message, "token recognition error") && strings.ContainsAny(text[at:min(at+1, len(text))], `"'`):
		return slip{at, "the text that begins here has no end; close it with " + text[at:at+1]}
	}
	if m := tooMuch.FindStringSubmatch(message); m != nil {
		if !strings.ContainsAny(m[1], `"'`) && wordPattern.FindString(m[1]) == "" {
			m[1] = `"` + m[1] + `"`
		}
		return slip{at, m[1] + " cannot follow what is before it; join conditions with && or ||"}
	}
	if sign, ok := strings.CutPrefix(message, "token recognition error at: "); ok {
		return slip{at, strings.Trim(sign, "' ") + " means nothing in an expression"}
	}
	message, _, _ = strings.Cut(message, " expecting {") // all that the grammar has
	return slip{at, message}
}

func isWordRune(r rune) bool { return wordPattern.FindString("a"+string(r)) != "a" }

// commonFunctions are those that are named to whoever knows none.
const commonFunctions = "there are contains, startsWith, endsWith, matches, lowerAscii, size, has, exists, all"

var functionAliases = map[string]string{
	"len": "size", "length": "size", "count": "size", "includes": "contains", "has_prefix": "startsWith", "hasprefix": "startsWith", "hassuffix": "endsWith",
	"lower": "lowerAscii", "tolower": "lowerAscii", "tolowercase": "lowerAscii", "upper": "upperAscii", "toupper": "upperAscii", "touppercase": "upperAscii",
	"regex": "matches", "match": "matches", "test": "matches", "any": "exists", "some": "exists", "every": "all", "exist": "has", "defined": "has",
}

func functionsOf(env *cel.Env) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(env.Functions())) {
		if wordPattern.FindString(name) == name && !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	return append(names, "has", "all", "exists", "exists_one", "map", "filter")
}

// near returns which of the known words was meant, or "".
func near(word string, aliases map[string]string, known []string) string {
	if alias := aliases[strings.ToLower(word)]; alias != "" {
		return alias
	}
	return spelling.Nearest(word, known)
}

func didYouMean(word, otherwise string) string {
	if word != "" {
		return "; did you mean " + word + "?"
	}
	return ";" + otherwise
}

// noOverload says why a function or an operator cannot be used with what it is used.
func noOverload(name, types string, env *cel.Env) string {
	if sign := strings.Trim(name, "_@"); wordPattern.FindString(sign) != sign {
		if name == "_[_]" {
			sign = "[ ]"
		}
		return fmt.Sprintf("%s cannot be used with %s", sign, strings.NewReplacer("(", "", ")", "", ", ", " and ").Replace(types))
	}
	of := env.Functions()[name]
	if of != nil && strings.HasPrefix(types, "(") && len(of.OverloadDecls()) > 0 && of.OverloadDecls()[0].IsMemberFunction() {
		return fmt.Sprintf("write %s behind what it is about, as in tool.args.x.%[1]s(…)", name)
	}
	return fmt.Sprintf("%s cannot be used with %s", name, types)
}

// memberAliases are members of variables under other names, and bareAliases variables
// without what they are members of; % stands for what the item is called.
var (
	memberAliases = map[string]string{"arguments": "args", "argument": "args", "params": "args", "parameters": "args", "input": "args", "arg": "args", "hints": "annotations", "id": "name", "url": "uri"}
	bareAliases   = map[string]string{
		"args": "%.args", "arguments": "%.args", "params": "%.args", "input": "%.args", "annotations": "%.annotations", "uri": "%.uri", "group": varUserGroups, "groups": varUserGroups,
		"claims": varUserClaims, "claim": varUserClaims, "email": varUserClaims + ".email", "client": varClientID, "client_id": varClientID, "tool": "%.name", "user": varUserName,
		"true": "true", "false": "false", "none": "null", "nil": "null",
	}
)

// noVariable says what is wrong with a name that stands for nothing.
func noVariable(path string, k Kind) string {
	all := variables(k)
	if slices.Contains(all, path) {
		return path + " is always there; ask for a member of it"
	}
	none := "there is no " + path
	there := " there are " + strings.Join(all, ", ")
	noun, member, dotted := strings.Cut(path, ".")
	if !dotted {
		meant := strings.ReplaceAll(bareAliases[strings.ToLower(path)], "%", k.noun())
		if root := strings.TrimSuffix(meant, ".email"); strings.Contains(meant, ".") && !slices.Contains(all, root) {
			meant = ""
		}
		return none + didYouMean(meant, there+`; text is in quotes`)
	}
	if slices.Contains([]string{"tool", "prompt", "resource"}, noun) {
		noun = k.noun()
	}
	var nouns, members []string
	for _, v := range all {
		of, m, _ := strings.Cut(v, ".")
		nouns = append(nouns, of)
		if of == noun {
			members = append(members, m)
		}
	}
	if members == nil {
		if v := spelling.Nearest(noun, nouns) + "." + member; slices.Contains(all, v) {
			return none + didYouMean(v, "")
		}
		if meant := bareAliases[noun]; strings.Contains(meant, ".") && noun != "email" {
			if v := strings.ReplaceAll(meant, "%", k.noun()); slices.Contains(all, v) {
				return none + didYouMean(v+"."+member, "")
			}
		}
		return none + ";" + there
	}
	meant := near(member, memberAliases, members)
	switch {
	case slices.Contains(members, meant):
		return none + didYouMean(noun+"."+meant, "")
	case noun == "user":
		return none + didYouMean(varUserClaims+"."+member, "")
	case k == Tool && noun == "tool" && hintNames[member]:
		return none + didYouMean("tool.annotations."+member, "")
	}
	return none + ";" + there
}

// unknownHint tells of an annotation that an expression asks for and MCP does not have: it
// would never have a value.
func unknownHint(checked *cel.Ast, text string) (err error) {
	const annotations = "tool.annotations"
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		name := memberOf(annotations, e)
		if err != nil || name == "" || hintNames[name] {
			return
		}
		known := slices.Sorted(maps.Keys(hintNames))
		wrong := slip{max(0, strings.Index(text, annotations)), "there is no annotation " + name + didYouMean(spelling.Nearest(name, known), " there are "+strings.Join(known, ", "))}
		err = errors.New(wrong.place(text) + ": " + wrong.text)
	}))
	return err
}

// hintNames are the annotations by the names that MCP has for them.
var hintNames = func() map[string]bool {
	names := map[string]bool{}
	for name := range Annotations(0).named() {
		names[name] = true
	}
	return names
}()
