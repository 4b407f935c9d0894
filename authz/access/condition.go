package access

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// Names of what a condition can be about. Those of an item begin with its kind.
const (
	varUserName   = "user.name"
	varUserGroups = "user.groups"
	varUserClaims = "user.claims"
	varClientID   = "client.id"
)

// maxCost bounds what a condition may cost for arguments that somebody made up, in
// CEL's units, of which a comparison is about one.
const maxCost = 100_000

// condition is a CEL expression.
type condition struct {
	program   cel.Program
	kind      Kind
	arguments bool // it is about them
	needs     identity.Needs
}

// answer is what a condition says.
type answer int

const (
	no answer = iota
	yes
	open   // it depends on arguments that are Open
	failed // it has no value, as when it is about an argument that is missing
)

// argumentsOf returns the variable with the arguments of items of a kind.
func argumentsOf(k Kind) string { return k.noun() + ".args" }

// noun is what conditions call an item.
func (k Kind) noun() string {
	switch k {
	case Tool:
		return "tool"
	case Prompt:
		return "prompt"
	default:
		return "resource"
	}
}

func environment(k Kind) (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.Variable(varUserName, cel.StringType),
		cel.Variable(varUserGroups, cel.ListType(cel.StringType)),
		cel.Variable(varUserClaims, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(varClientID, cel.StringType),
		cel.CrossTypeNumericComparisons(true),
		ext.Strings(), ext.Lists(), ext.Math(), ext.Bindings(),
	}
	if k.isURI() {
		options = append(options, cel.Variable("resource.uri", cel.StringType))
	} else {
		options = append(options, cel.Variable(k.noun()+".name", cel.StringType), cel.Variable(argumentsOf(k), cel.MapType(cel.StringType, cel.DynType)))
	}
	if k == Tool {
		options = append(options, cel.Variable("tool.annotations", cel.MapType(cel.StringType, cel.BoolType)))
	}
	return cel.NewEnv(options...)
}

// newCondition compiles an expression. Errors tell the column.
func newCondition(text string, k Kind) (*condition, error) {
	env, err := environment(k)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issue(issues, text, env, k)
	}
	if of := checked.OutputType(); !of.IsExactType(cel.BoolType) && !of.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression must be true or false, and is of type %s", of)
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize, cel.OptPartialEval), cel.CostLimit(maxCost))
	if err != nil {
		return nil, err
	}
	c := &condition{program: program, kind: k}
	c.inspect(checked)
	return c, unknownHint(checked, text)
}

// issue returns the first of what is wrong with an expression, and what to write.
func issue(issues *cel.Issues, text string, env *cel.Env, k Kind) error {
	first := issues.Errors()[0]
	message := strings.TrimSuffix(strings.TrimPrefix(first.Message, "Syntax error: "), " (in container '')")
	wrong := slipIn(text)
	if wrong == nil {
		wrong = new(inWords(message, text, offset(text, first.Location), env, k))
	}
	return fmt.Errorf("%s: %s", wrong.place(text), wrong.text)
}

// offset returns at which byte of an expression a place is, by line and character.
func offset(text string, at common.Location) int {
	line := 0
	for range at.Line() - 1 {
		line += strings.IndexByte(text[line:], '\n') + 1
	}
	for n := range text[line:] {
		if utf8.RuneCountInString(text[line:line+n]) == at.Column() {
			return line + n
		}
	}
	return len(text)
}

func variables(k Kind) []string {
	switch {
	case k.isURI():
		return []string{"resource.uri", varUserName, varUserGroups, varUserClaims, varClientID}
	case k == Prompt:
		return []string{"prompt.name", "prompt.args", varUserName, varUserGroups, varUserClaims, varClientID}
	default:
		return []string{"tool.name", "tool.args", "tool.annotations", varUserName, varUserGroups, varUserClaims, varClientID}
	}
}

// inspect finds out what the expression is about.
func (c *condition) inspect(checked *cel.Ast) {
	for _, reference := range checked.NativeRep().ReferenceMap() {
		switch reference.Name {
		case "tool.args", "prompt.args":
			c.arguments = true
		case varUserName: // which may be an address
			c.needs.Email = true
		case varUserGroups:
			c.needs.Groups = true
		}
	}
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch name := memberOf(varUserClaims, e); name {
		case "", "name":
		case "email":
			c.needs.Email = true
		default:
			c.needs.Claims = append(c.needs.Claims, name)
		}
	}))
}

// memberOf returns the name of the member of a variable that an expression is:
// variable.NAME or variable["NAME"].
func memberOf(variable string, e ast.Expr) string {
	isIt := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == variable }
	switch e.Kind() {
	case ast.SelectKind:
		if isIt(e.AsSelect().Operand()) {
			return e.AsSelect().FieldName()
		}
	case ast.CallKind:
		if args := e.AsCall().Args(); e.AsCall().FunctionName() == operators.Index && isIt(args[0]) && args[1].Kind() == ast.LiteralKind {
			name, _ := args[1].AsLiteral().Value().(string)
			return name
		}
	}
	return ""
}

// ask returns what the condition says of an item that somebody wants to use.
func (c *condition) ask(w *Who, item *Item) answer {
	vars := &variablesOf{who: *w, item: *item, kind: c.kind} // copies, so that no other decision allocates
	var input any = vars
	if item.Open && c.arguments {
		partial, err := cel.PartialVars(vars, cel.AttributePattern(argumentsOf(c.kind)))
		if err != nil {
			return failed
		}
		input = partial
	}
	value, _, err := c.program.Eval(input)
	switch {
	case err != nil || vars.err != nil:
		return failed
	case types.IsUnknown(value):
		return open
	case value == types.True:
		return yes
	case value == types.False:
		return no
	}
	return failed
}

// variablesOf has the values of the variables, which are made when they are asked
// for.
type variablesOf struct {
	who  Who
	item Item
	kind Kind
	err  error
}

// Parent implements interpreter.Activation.
func (v *variablesOf) Parent() interpreter.Activation { return nil }

// ResolveName implements interpreter.Activation.
func (v *variablesOf) ResolveName(name string) (any, bool) {
	switch name {
	case "tool.name", "prompt.name", "resource.uri":
		return v.item.Name, true
	case "tool.args", "prompt.args":
		arguments, err := decodeArguments(v.item.Arguments)
		v.err = errors.Join(v.err, err)
		return arguments, err == nil
	case "tool.annotations":
		return v.item.Annotations.named(), true
	case varUserName:
		return v.who.Name, true
	case varUserGroups:
		if v.who.Identity.Claims == nil {
			return []string{}, true
		}
		return v.who.Identity.Claims.Groups, true
	case varUserClaims:
		return v.claims(), true
	case varClientID:
		return v.who.Client, true
	}
	return nil, false
}

// claims returns what an identity provider says of somebody.
func (v *variablesOf) claims() map[string]any {
	all, said := map[string]any{}, v.who.Identity.Claims
	if said == nil {
		return all
	}
	for name, raw := range said.Extra {
		if value, err := decodeValue(raw); err == nil {
			all[name] = value
		}
	}
	if said.Email != "" {
		all["email"] = said.Email
	}
	if said.Name != "" {
		all["name"] = said.Name
	}
	return all
}

// named returns annotations by the names that MCP has for them.
func (a Annotations) named() map[string]bool {
	return map[string]bool{
		"readOnlyHint": a&ReadOnly != 0, "destructiveHint": a&NotDestructive == 0,
		"idempotentHint": a&Idempotent != 0, "openWorldHint": a&ClosedWorld == 0,
	}
}
