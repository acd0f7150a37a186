package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/internal/doctor"
)

func (a *app) doctor() *cobra.Command {
	cmd := command("doctor", "Find out what works on this machine", helpDoctor, cobra.NoArgs, nil)
	out := output(cmd)
	var root, file string
	folder(cmd, &root, "root")
	cmd.Flags().StringVar(&file, "config", "", "")
	cmd.RunE = func(*cobra.Command, []string) error {
		host, err := openRoot(root)
		if err != nil {
			return err
		}
		o := doctor.Options{Host: host}
		if host.Live() {
			o.Kernel = doctor.Live{}
		}
		o.Config, o.ConfigName, o.ConfigErr = loadFrom(host, file)
		if o.ConfigName == "" {
			o.ConfigName = defaultConfig
		}
		o.Overrides = overrides(o.Config)
		r := doctor.Run(o)
		if out.json() {
			err = a.printJSON(r)
		} else {
			width, color := a.terminal()
			err = doctor.Render(a.stdout, r, width, color)
		}
		if err == nil && r.Count(doctor.Fail) > 0 {
			err = errProblems
		}
		return err
	}
	return cmd
}
