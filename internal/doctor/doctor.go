package doctor

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/topology"
)

// SchemaVersion is raised when a field of the JSON form changes its meaning or goes away.
const SchemaVersion = 1

// Verdict is what a probe says.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warn    Verdict = "warn"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown"
)

// Check is the answer of one probe.
type Check struct {
	ID      string  `json:"id"` // stable
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Do      string  `json:"do,omitempty"` // what to do about it
}

// Report is the answer of all probes.
type Report struct {
	SchemaVersion int     `json:"schema_version"`
	Root          string  `json:"root"`
	Live          bool    `json:"live"` // the running host, not a copy of its files
	Kernel        string  `json:"kernel,omitempty"`
	Checks        []Check `json:"checks"`
}

// Count returns how many probes gave a verdict.
func (r *Report) Count(v Verdict) int {
	n := 0
	for i := range r.Checks {
		if r.Checks[i].Verdict == v {
			n++
		}
	}
	return n
}

// Options are what a report is made of.
type Options struct {
	Host *hostfs.FS
	// Kernel tries what only the running kernel can answer; nil for a copy of a host.
	Kernel Kernel
	// ConfigName is the name of the configuration file for a person. Config or ConfigErr is what loading it
	// gave; both nil: there is none.
	ConfigName string
	Config     *config.Config
	ConfigErr  error
	// Overrides are the configuration's for the topology.
	Overrides topology.Overrides
}

// examination is the work of one Run.
type examination struct {
	Options
	machine    *topology.Machine
	machineErr error
	checks     []Check
}

// Run makes a report.
func Run(o Options) *Report {
	e := &examination{Options: o}
	e.machine, e.machineErr = topology.Discover(o.Host, o.Overrides)
	if e.machineErr != nil {
		// A configuration that does not fit the host is config.file's to report.
		if m, err := topology.Discover(o.Host, topology.Overrides{}); err == nil {
			e.machine, e.machineErr = m, nil
		}
	}
	for _, p := range probes() {
		c := p.ask(e)
		c.ID = p.id
		e.checks = append(e.checks, c)
	}
	r := &Report{SchemaVersion: SchemaVersion, Root: o.Host.Root(), Live: o.Host.Live(), Checks: e.checks}
	if release, err := o.Host.KernelRelease(); err == nil {
		r.Kernel = release.Text
	}
	return r
}

// probe is one question.
type probe struct {
	id  string
	ask func(*examination) Check
}

// probes lists all questions, in the order of the report.
func probes() []probe {
	return []probe{
		{"topology.tiers", tiers},
		{"topology.facts", facts},
		{"topology.gpu-locality", gpuLocality},
		{"source.page-table", pageTable},
		{"source.hint-fault", hintFaults},
		{"source.damon", damonSource},
		{"source.precise", samples},
		{"kernel.btf", kernelBTF},
		{"kernel.bpf", kernelBPF},
		{"kernel.lockdown", lockdown},
		{"kernel.move-pages", movePages},
		{"kernel.numa-balancing", numaBalancing},
		{"kernel.demotion", demotion},
		{"kernel.damon", damon},
		{"kernel.pressure", pressure},
		{"rights.bpf", right(capBPF, "CAP_BPF", Fail, "read page tables by eBPF")},
		{"rights.perfmon", right(capPerfmon, "CAP_PERFMON", Fail, "read page tables by eBPF")},
		{"rights.sys_nice", right(capSysNice, "CAP_SYS_NICE", Fail, "clear accessed bits of other processes and move shared pages")},
		{"rights.sys_ptrace", right(capSysPtrace, "CAP_SYS_PTRACE", Fail, "look at and move memory of other users' processes")},
		{"host.pid-namespace", pidNamespace},
		{"config.file", configFile},
	}
}

func found(v Verdict, do, format string, args ...any) Check {
	return Check{Verdict: v, Found: fmt.Sprintf(format, args...), Do: do}
}

// needsLive is the answer to what a copy of a host cannot tell.
func needsLive() Check { return found(Unknown, "", "needs the live host") }

// unread is the answer when a file could not be read. A missing file is the answer absent on the running host, and
// none in a copy.
func (e *examination) unread(err error, absent Check) Check {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return found(Unknown, "", "%v", err)
	case !e.Host.Live():
		return found(Unknown, "", "the copy of the host does not have it")
	}
	return absent
}
