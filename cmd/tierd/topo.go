package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/topology"
)

func (a *app) topo() *cobra.Command {
	cmd := command("topo", "Draw this machine's memory", helpTopo, cobra.NoArgs, nil)
	out := output(cmd)
	var root, file string
	folder(cmd, &root, "root")
	cmd.Flags().StringVar(&file, "config", "", "")
	cmd.RunE = func(*cobra.Command, []string) error {
		host, err := openRoot(root)
		if err != nil {
			return err
		}
		cfg, _, err := loadFrom(host, file)
		if err != nil {
			return err
		}
		m, err := discover(host, cfg)
		if err != nil {
			return err
		}
		if out.json() {
			return a.printJSON(m)
		}
		width, color := a.terminal()
		return topology.Draw(a.stdout, m, topology.DrawOptions{Width: width, Color: color})
	}
	return cmd
}
