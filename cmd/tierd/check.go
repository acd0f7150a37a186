package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/doctor"
	"github.com/tierd/tierd/topology"
)

// checked is the JSON form of a check.
type checked struct {
	SchemaVersion int             `json:"schema_version"`
	File          string          `json:"file"`
	OK            bool            `json:"ok"`
	Problems      config.Problems `json:"problems"` // warnings among them
}

func (a *app) check() *cobra.Command {
	cmd := command("check FILE", "Find all problems of a configuration file", helpCheck, cobra.ExactArgs(1), nil)
	cmd.ValidArgsFunction = cobra.FixedCompletions([]string{"toml"}, cobra.ShellCompDirectiveFilterFileExt)
	out := output(cmd)
	var root string
	var offline bool
	folder(cmd, &root, "root")
	cmd.Flags().BoolVar(&offline, "offline", false, "")
	cmd.MarkFlagsMutuallyExclusive("root", "offline")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		file := args[0]
		cfg, problems, err := a.problemsOf(file)
		if err != nil {
			return explainLoad(file, err)
		}
		if cfg != nil && !offline {
			more, err := a.compare(cfg, root)
			if err != nil {
				return err
			}
			problems = append(problems, more...)
		}
		if cfg != nil {
			problems = append(problems, cfg.NotActedOn()...)
		}
		bad := problems.Err() != nil
		switch {
		case out.json():
			if problems == nil {
				problems = config.Problems{}
			}
			err = a.printJSON(checked{SchemaVersion: 1, File: file, OK: !bad, Problems: problems})
		case len(problems) == 0:
			_, err = fmt.Fprintf(a.stdout, "%s: ok\n", printable(file))
		default:
			err = problems.Render(a.stdout)
			errs := slices.Clone(problems)
			errs = slices.DeleteFunc(errs, func(p config.Problem) bool { return p.Severity != config.SeverityError })
			fmt.Fprintf(a.stderr, "%s: %s, %s\n", printable(file), plural(len(errs), "problem"), plural(len(problems)-len(errs), "warning"))
		}
		if err == nil && bad {
			err = errProblems
		}
		return err
	}
	return cmd
}

// problemsOf returns all that is wrong with a file by itself. cfg is nil when it cannot be used at all.
func (a *app) problemsOf(file string) (cfg *config.Config, problems config.Problems, err error) {
	if file == "-" {
		text, err := io.ReadAll(io.LimitReader(a.stdin, config.MaxFileSize+1))
		if err != nil {
			return nil, nil, err
		}
		cfg, err = config.Parse("stdin", text)
		errors.As(err, &problems)
		return cfg, problems, nil
	}
	cfg, err = config.Load(file)
	if err == nil {
		return cfg, nil, nil
	}
	if !errors.As(err, &problems) {
		return nil, nil, err
	}
	if slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Line > 0 }) {
		return nil, problems, nil
	}
	// tierd would not trust the file; what is in it still counts. Only a regular file is read.
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > config.MaxFileSize {
		return nil, problems, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, problems, nil
	}
	cfg, err = config.Parse(file, text)
	var more config.Problems
	errors.As(err, &more)
	return cfg, append(problems, more...), nil
}

// compare holds a configuration against a machine.
func (a *app) compare(cfg *config.Config, root string) (config.Problems, error) {
	host, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	m, err := topology.Discover(host, topology.Overrides{})
	if err != nil {
		fmt.Fprintf(a.stderr, "tierd: nodes are not checked: %s\n", printable(err.Error()))
		return nil, nil
	}
	return cfg.CheckNodes(doctor.NodesWithMemory(m)), nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
