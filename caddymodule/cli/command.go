package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// commands returns all commands, in the order in which they are listed.
func commands() []*cobra.Command {
	return []*cobra.Command{
		statusCommand(),
		healthCommand(),
		instancesCommand(),
		peopleCommand(),
		mayCommand(),
		toolsCommand(),
		grantsCommand(),
		clientsCommand(),
		keysCommand(),
		initialTokensCommand(),
		connectionsCommand(),
		providersCommand(),
		doctorCommand(),
		addCommand(),
		presetsCommand(),
		signingKeysCommand(),
		rotateKeyCommand(),
		backupCommand(),
		restoreCommand(),
		endSignInsCommand(),
		checkCommand(),
		compactCommand(),
		migrateCommand(),
		whyCommand(),
		flowsCommand(),
		auditCommand(),
		openAPICommand(),
	}
}

// Command is the command that Caddy registers.
func Command() caddycmd.Command {
	return caddycmd.Command{
		Name:  "mcp-oauth",
		Short: "Shows and steers the mcp_oauth sites of a running Caddy",
		Long: `Shows and steers the mcp_oauth sites of a running Caddy, through its admin API.

That is where Caddy has it by default, or where CADDY_ADMIN says; else tell it with
--address, or with --config, the configuration that Caddy runs with.

Tables are for people: with --json, the commands print what the admin API answers,
which stays as it is documented. What is ended asks before, on a terminal; elsewhere
it takes --yes. The exit status is 0 if what was asked for was done, and 1 if not:
then the standard error says why.`,
		CobraFunc: Add,
	}
}

// Add adds the commands to their parent.
func Add(parent *cobra.Command) {
	flags := parent.PersistentFlags()
	flags.String("address", "", "where the admin API listens, if not at the default address")
	flags.String("config", "", "the configuration that Caddy runs with, which says where the admin API listens")
	flags.String("adapter", "", "the adapter of that configuration, if it is neither JSON nor a Caddyfile")
	flags.Bool("json", false, "print JSON, for programs")
	parent.AddCommand(commands()...)
	onlyGroups(parent)
	nameArguments(parent)
}

// argument is what a command takes, as its use shows it: SERVER, <MCP URL>, [NAME].
var argument = regexp.MustCompile(`\[[^]]*\]|<[^>]*>(?:\|<[^>]*>)?|\b[A-Z]+\b`)

// nameArguments has the commands below a parent say which argument is missing, and
// what to write; cobra says only how many there are.
func nameArguments(parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		nameArguments(cmd)
		check := cmd.Args
		if check == nil || cmd.HasSubCommands() && !cmd.Runnable() {
			continue
		}
		_, takes, _ := strings.Cut(cmd.Use, " ")
		arguments, _, _ := strings.Cut(takes, "--") // behind are flags that are needed
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}
			write := strings.TrimSpace(cmd.CommandPath() + " " + takes)
			if known := argument.FindAllString(arguments, -1); len(args) < len(known) {
				return fmt.Errorf("%s is missing; write `%s`", known[len(args)], write)
			}
			if cmd.HasSubCommands() {
				return noCommand(cmd, args[0])
			}
			return fmt.Errorf("%q is more than it takes; write `%s`", args[len(args)-1], write)
		}
	}
}

// noCommand refuses the name of a command that is not there.
func noCommand(of *cobra.Command, name string) error {
	return fmt.Errorf("there is no command %q; %s --help lists them", name, of.CommandPath())
}

// onlyGroups makes a command that does nothing itself show its help, and refuse
// the name of a command that is not there.
func onlyGroups(parent *cobra.Command) {
	parent.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return noCommand(cmd, args[0])
	}
	parent.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// status is an error with an exit status other than 1.
type status struct {
	code int
	error
}

// Unwrap returns the error without the status.
func (s status) Unwrap() error { return s.error }

// runs is what a command does, as cobra wants it.
func runs(f func(*invocation) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(&invocation{cmd: cmd, args: args})
		var s status
		if !errors.As(err, &s) {
			return err
		}
		// Caddy keeps its errors with a status to itself.
		cmd.SilenceErrors = true
		if s.error != nil {
			cmd.PrintErrln("Error:", s.Error())
		}
		if s.code == 1 {
			return errors.New("exit status 1") // Caddy's wrapper would make it 0
		}
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return s.code, nil })(cmd, args)
	}
}
