package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/config"
)

// Exit codes. They are a contract.
const (
	exitOK          = 0
	exitProblem     = 1 // it worked, and found a problem; or it failed
	exitUsage       = 2
	exitUnreachable = 3 // the daemon
	exitPermission  = 4
)

// defaultConfig is read when no file is named, if it exists.
const defaultConfig = "/etc/tierd/tierd.toml"

// app is what commands need of the world outside.
type app struct {
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	started        bool // a command, as opposed to reading its arguments
}

// failure is an error with what to do about it and an exit code.
type failure struct {
	err  error
	hint string
	code int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// errProblems: what was wrong has been printed as the answer.
var errProblems = errors.New("problems found")

// run is the whole program.
func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(root.ExecuteContext(ctx))
}

// exit prints an error and chooses the code.
func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := exitProblem, ""
	var f *failure
	switch {
	case errors.Is(err, errProblems):
		return exitProblem
	case errors.As(err, &f):
		code, hint = f.code, f.hint
	case !a.started:
		code, hint = exitUsage, "tierd help lists the commands"
	case errors.Is(err, fs.ErrPermission):
		code, hint = exitPermission, "run it as root"
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		_ = problems.Render(a.stderr) // stderr is the last resort
		return code
	}
	fmt.Fprintf(a.stderr, "tierd: %s\n", printable(err.Error()))
	if hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "tierd",
		Short:         "Memory tiering daemon",
		Long:          helpRoot,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				fmt.Fprint(a.stderr, helpRoot)
				return &failure{err: errors.New("which command?"), code: exitUsage}
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetHelpCommand(a.help())
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprint(a.stdout, cmd.Long) })
	for _, cmd := range []*cobra.Command{a.runCommand(), a.topo(), a.doctor(), a.status(), a.explain(), a.record(), a.replay(), a.check(), a.simulate(), a.tune(), a.version(), a.completion()} {
		do := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return do(cmd, args)
		}
		root.AddCommand(cmd)
	}
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	hint := "tierd help lists the commands"
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &failure{err: fmt.Errorf("unknown command %q", name), hint: hint, code: exitUsage}
}

// help replaces cobra's help command, which finds nothing wrong with a command that there is not.
func (a *app) help() *cobra.Command {
	cmd := command("help [COMMAND]", "Tell more about a command", helpRoot, cobra.MaximumNArgs(1), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, c := range cmd.Root().Commands() {
			if len(args) == 1 && c.Name() == args[0] {
				return c.Help()
			}
		}
		if len(args) == 1 {
			return unknownCommand(cmd.Root(), args[0])
		}
		return cmd.Root().Help()
	}
	return cmd
}

// command makes a subcommand with a help text of its own.
func command(use, short, help string, args cobra.PositionalArgs, do func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: help, Args: args, RunE: do,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// format is the value of -o.
type format string

func (f *format) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New(`must be "text" or "json"`)
	}
	*f = format(s)
	return nil
}

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }
func (f format) json() bool      { return f == "json" }

// output adds -o to a command.
func output(cmd *cobra.Command) *format {
	f := format("text")
	cmd.Flags().VarP(&f, "output", "o", "")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

// folder adds a flag that names a folder.
func folder(cmd *cobra.Command, to *string, name string) {
	cmd.Flags().StringVar(to, name, "", "")
	_ = cmd.MarkFlagDirname(name)
}

// printJSON writes the answer.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
