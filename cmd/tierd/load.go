package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/doctor"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/topology"
)

// loadConfig loads the named file. With no name it loads the default file, and without that gives the
// defaults; path then is "".
func loadConfig(name string) (cfg *config.Config, path string, err error) {
	if name != "" {
		cfg, err = config.Load(name)
		return cfg, name, explainLoad(name, err)
	}
	cfg, err = config.Load(defaultConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Default(), "", nil
	}
	return cfg, defaultConfig, explainLoad(defaultConfig, err)
}

// explainLoad names the file in an error of the operating system.
func explainLoad(name string, err error) error {
	var problems config.Problems
	if err == nil || errors.As(err, &problems) {
		return err
	}
	f := &failure{err: fmt.Errorf("configuration: %w", err), code: exitProblem}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.code, f.hint = exitPermission, "run it as root"
	case errors.Is(err, fs.ErrNotExist):
		f.hint = "tierd run without --config uses " + defaultConfig + ", if it exists"
	}
	return f
}

// loadFrom loads the configuration of a host: the named file, else the default file below the host's root. None is
// no error; cfg is then nil.
func loadFrom(host *hostfs.FS, name string) (cfg *config.Config, path string, err error) {
	if name != "" || host.Live() {
		cfg, path, err = loadConfig(name)
		if path == "" {
			cfg = nil
		}
		return cfg, path, err
	}
	path = host.Path(defaultConfig)
	text, err := host.ReadFile(strings.TrimPrefix(defaultConfig, "/"), config.MaxFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, path, explainLoad(path, err)
	}
	cfg, err = config.Parse(path, text)
	return cfg, path, err
}

// overrides is what a configuration says of the machine.
func overrides(c *config.Config) topology.Overrides {
	var ov topology.Overrides
	if c == nil {
		return ov
	}
	for _, t := range c.Tiers {
		ov.Tiers = append(ov.Tiers, topology.TierNodes{Name: t.Name, Nodes: t.Nodes.Slice()})
	}
	if len(c.GPUs) > 0 {
		ov.GPUs = map[string]int{}
	}
	for _, g := range c.GPUs {
		ov.GPUs[g.Address] = g.Node
	}
	return ov
}

// discover reads the machine and holds the configuration, which may be nil, against it.
func discover(host *hostfs.FS, c *config.Config) (*topology.Machine, error) {
	plain, err := topology.Discover(host, topology.Overrides{})
	if err != nil || c == nil {
		return plain, err
	}
	if err := c.CheckNodes(doctor.NodesWithMemory(plain)).Err(); err != nil {
		return nil, err
	}
	return topology.Discover(host, overrides(c))
}

// openRoot returns the host below a folder, or the running one.
func openRoot(root string) (*hostfs.FS, error) {
	host := hostfs.New(root)
	if root != "" && !host.Exists("") {
		return nil, &failure{err: fmt.Errorf("--root %s: no such folder", root), code: exitProblem}
	}
	return host, nil
}
