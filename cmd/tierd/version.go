package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for a release.
var version string

// build says which build this is.
type build struct {
	SchemaVersion int    `json:"schema_version"`
	Version       string `json:"version"`
	Revision      string `json:"revision,omitempty"`
	Time          string `json:"time,omitempty"` // of the revision
	Modified      bool   `json:"modified"`       // the tree had changes that are in no revision
	Go            string `json:"go"`
	OS            string `json:"os"`
	Arch          string `json:"arch"`
}

func thisBuild() build {
	b := build{SchemaVersion: 1, Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	if b.Version == "" {
		b.Version = "unreleased"
	}
	return b
}

func (a *app) version() *cobra.Command {
	cmd := command("version", "Print the version", helpVersion, cobra.NoArgs, nil)
	out := output(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		if out.json() {
			return a.printJSON(b)
		}
		extra := ""
		if b.Revision != "" {
			extra = ", revision " + b.Revision[:min(12, len(b.Revision))]
			if b.Modified {
				extra += " with changes"
			}
		}
		_, err := fmt.Fprintf(a.stdout, "tierd %s (%s, %s/%s%s)\n", b.Version, b.Go, b.OS, b.Arch, extra)
		return err
	}
	return cmd
}
