package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli/adminclient"
)

// invocation is one run of a command. It has what every command needs; what one
// command does is a function in that command's file.
type invocation struct {
	cmd  *cobra.Command
	args []string
	api  *adminclient.Client // once it was asked
}

// text returns the value of a flag.
func (i *invocation) text(flag string) string {
	value, _ := i.cmd.Flags().GetString(flag)
	return value
}

// is reports whether a flag is set.
func (i *invocation) is(flag string) bool {
	value, _ := i.cmd.Flags().GetBool(flag)
	return value
}

// query returns the parameters of these names that were given as flags.
func (i *invocation) query(flags ...string) url.Values {
	query := url.Values{}
	for _, name := range flags {
		if flag := i.cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			query.Set(name, flag.Value.String())
		}
	}
	return query
}

// get asks the admin API.
func get[T any](i *invocation, path string, query url.Values) (answer T, err error) {
	return send[T](i, http.MethodGet, path, query, nil)
}

// send asks the admin API to do something; body is what is sent as JSON, if any.
func send[T any](i *invocation, method, path string, query url.Values, body any) (answer T, err error) {
	if i.api == nil {
		if i.api, err = i.adminAPI(); err != nil {
			return answer, err
		}
	}
	return answer, i.api.Do(i.cmd.Context(), method, path, query, body, &answer)
}

// adminAPI returns a client of the admin API that the flags or the environment mean.
func (i *invocation) adminAPI() (*adminclient.Client, error) {
	return adminclient.New(adminclient.Place{Address: i.text("address"), Config: i.text("config"), Adapter: i.text("adapter")})
}

// print prints an answer: as JSON if that is wanted, else as the table.
func (i *invocation) print(answer any, t *table) error {
	if !i.is("json") {
		return t.write(i.cmd.OutOrStdout(), i.width())
	}
	return i.printJSON(answer)
}

func (i *invocation) printJSON(answer any) error {
	encoder := json.NewEncoder(i.cmd.OutOrStdout())
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(answer)
}

// printSecret prints the answer with a secret that is shown once, or the secret alone on
// the standard output, after what it is and the site it is for.
func (i *invocation) printSecret(answer any, secret, what, site string) error {
	if i.is("json") {
		return i.printJSON(answer)
	}
	i.cmd.PrintErrf("The %s %s, which is shown this once:\n", what, site)
	i.say("%s", secret)
	return nil
}

// say prints a line for people: with --json, there is none.
func (i *invocation) say(format string, values ...any) {
	if !i.is("json") {
		_, _ = fmt.Fprintln(i.cmd.OutOrStdout(), clean(fmt.Sprintf(format, values...)))
	}
}

// width returns how wide the terminal is on which the output is read, or 0.
func (i *invocation) width() int {
	out, isFile := i.cmd.OutOrStdout().(*os.File)
	if !isFile {
		return 0
	}
	width, _, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// confirmable adds the flag of a command that ends something.
func confirmable(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolP("yes", "y", false, "do it without asking before")
	return cmd
}

// confirm returns an error unless the operator wants what the question says.
func (i *invocation) confirm(format string, values ...any) error {
	if i.is("yes") {
		return nil
	}
	question := clean(fmt.Sprintf(format, values...))
	in, isFile := i.cmd.InOrStdin().(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return errors.New(question + " Nobody can be asked here, so nothing was done; add --yes")
	}
	i.cmd.PrintErr(question, " [y/N] ")
	answer, _ := bufio.NewReader(in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}
