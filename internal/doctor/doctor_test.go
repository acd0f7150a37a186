package doctor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/doctor"
	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/topology"
)

const hosts = "../../topology/testdata"

// TestHosts: the report of each host of the project.
func TestHosts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(hosts, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			fs := hostfstest.Open(t, file)
			r := doctor.Run(doctor.Options{Host: fs, ConfigName: "/etc/tierd/tierd.toml"})
			r.Root = "ROOT"
			if n := r.Count(doctor.Fail); n != 0 {
				t.Errorf("%d failures on a copy of a host", n)
			}
			var got bytes.Buffer
			if err := doctor.Render(&got, r, 110, false); err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(got.String(), fs.Root(), "ROOT")
			golden.Check(t, "testdata/"+name+".txt", text)
			if b, err := json.Marshal(r); err != nil || !bytes.Contains(b, []byte(`"schema_version":1`)) {
				t.Errorf("%s %v", b, err)
			}
		})
	}
}

// fake is a kernel that answers what a test says.
type fake struct {
	caps                   uint64
	capErr, bpf, walk, mov error
	hints                  error
	all                    bool
}

func (f fake) Capabilities() (uint64, error)                { return f.caps, f.capErr }
func (f fake) BPF() error                                   { return f.bpf }
func (f fake) PageTables(*topology.Machine) (string, error) { return "x86-64, 4 levels", f.walk }
func (f fake) HintFaults() (bool, error)                    { return f.all, f.hints }
func (f fake) MovePages() error                             { return f.mov }

const allCaps = 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_SYS_NICE | 1<<unix.CAP_SYS_PTRACE

func check(t *testing.T, r *doctor.Report, id string) doctor.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no probe %s", id)
	return doctor.Check{}
}

func TestVerdicts(t *testing.T) {
	load := func(text string) *config.Config {
		c, err := config.Parse("t.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, bad := config.Parse("t.toml", []byte("mode = 1\nx = 2\n"))
	for _, tt := range []struct {
		name   string
		host   string // txtar, after the emulated machine's
		kernel doctor.Kernel
		cfg    *config.Config
		cfgErr error
		id     string
		want   doctor.Verdict
		found  string
	}{
		{name: "rights", kernel: fake{caps: allCaps}, id: "rights.bpf", want: doctor.OK},
		{name: "no rights", kernel: fake{}, id: "rights.sys_ptrace", want: doctor.Fail, found: "missing"},
		{name: "hidden rights", kernel: fake{capErr: unix.EPERM}, id: "rights.bpf", want: doctor.Unknown},
		{name: "copy", id: "rights.bpf", want: doctor.Unknown, found: "needs the live host"},
		{name: "bpf", kernel: fake{}, id: "kernel.bpf", want: doctor.OK},
		{name: "bpf forbidden", kernel: fake{bpf: unix.EPERM}, id: "kernel.bpf", want: doctor.Fail, found: "not allowed"},
		{name: "bpf absent", kernel: fake{bpf: unix.ENOSYS}, id: "kernel.bpf", want: doctor.Fail},
		{name: "walk", kernel: fake{}, id: "source.page-table", want: doctor.OK, found: "4 levels"},
		{name: "no walk", kernel: fake{walk: &pagetable.Unavailable{Step: "load", Err: errors.New("no"), Hint: "buy another"}}, id: "source.page-table", want: doctor.Fail, found: "page tables: load: no"},
		{name: "no move_pages", kernel: fake{mov: unix.ENOSYS}, id: "kernel.move-pages", want: doctor.Fail},
		{name: "tiers", id: "topology.tiers", want: doctor.OK, found: "hbm (node 1), dram (node 0), cxl (node 2)"},
		{name: "hint faults", kernel: fake{caps: allCaps}, id: "source.hint-fault", want: doctor.OK, found: "from where memory is used"},
		{name: "no hooks", kernel: fake{caps: allCaps, all: true}, id: "source.hint-fault", want: doctor.OK, found: "every page fault"},
		{name: "no hint faults", kernel: fake{caps: allCaps, hints: errors.New("inlined")}, id: "source.hint-fault", want: doctor.OK, found: "inlined"},
		{name: "DAMON free", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\n0\n", id: "source.damon", want: doctor.OK, found: "shared = true"},
		{name: "DAMON in use", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\n1\n", id: "source.damon", want: doctor.OK, found: "somebody has set up"},
		{name: "DAMON taken", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\n0\n-- sys/module/damon_stat/parameters/enabled --\nY\n", id: "source.damon", want: doctor.OK, found: "damon_stat"},
		{name: "balancing off", host: "-- proc/sys/kernel/numa_balancing --\n0\n", id: "kernel.numa-balancing", want: doctor.OK},
		{name: "balancing on", host: "-- proc/sys/kernel/numa_balancing --\n1\n", id: "kernel.numa-balancing", want: doctor.Warn},
		{name: "tiering on", host: "-- proc/sys/kernel/numa_balancing --\n2\n", id: "kernel.numa-balancing", want: doctor.Warn, found: "tiers memory, too"},
		{name: "balancing garbage", host: "-- proc/sys/kernel/numa_balancing --\nyes\n", id: "kernel.numa-balancing", want: doctor.Unknown},
		{name: "demotion", host: "-- sys/kernel/mm/numa/demotion_enabled --\ntrue\n", id: "kernel.demotion", want: doctor.Warn},
		{name: "lockdown", host: "-- sys/kernel/security/lockdown --\nnone integrity [confidentiality]\n", id: "kernel.lockdown", want: doctor.Fail},
		{name: "integrity", host: "-- sys/kernel/security/lockdown --\nnone [integrity] confidentiality\n", id: "kernel.lockdown", want: doctor.OK},
		{name: "damon", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\n2\n-- sys/kernel/mm/damon/admin/kdamonds/1/state --\non\n", id: "kernel.damon", want: doctor.Warn, found: "1 worker)"},
		{name: "damon off", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\n1\n", id: "kernel.damon", want: doctor.OK, found: "does not run"},
		{name: "damon idle", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\n0\n", id: "kernel.damon", want: doctor.OK},
		{name: "damon garbage", host: "-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --\nmany\n", id: "kernel.damon", want: doctor.Unknown},
		{name: "no config", id: "config.file", want: doctor.OK, found: "does not exist"},
		{name: "bad config", cfgErr: bad, id: "config.file", want: doctor.Fail, found: "2 problems"},
		{name: "unreadable config", cfgErr: unix.EACCES, id: "config.file", want: doctor.Fail},
		{name: "config of another host", cfg: load("[tier.hbm]\nnodes = \"9\"\n"), id: "config.file", want: doctor.Fail, found: "1 problem"},
		{name: "config ahead", cfg: load("[workload.a]\ncomm = [\"a\"]\nnear = \"gpu\"\n"), id: "config.file", want: doctor.Warn},
		{name: "good config", cfg: load(""), id: "config.file", want: doctor.OK, found: "observes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(hosts, "emulated.txtar"))
			if err != nil {
				t.Fatal(err)
			}
			host := hostfs.New(hostfstest.Unpack(t, string(b)+"\n"+tt.host))
			o := doctor.Options{Host: host, Kernel: tt.kernel, ConfigName: "t.toml", Config: tt.cfg, ConfigErr: tt.cfgErr}
			if tt.cfg != nil {
				for _, x := range tt.cfg.Tiers {
					o.Overrides.Tiers = append(o.Overrides.Tiers, topology.TierNodes{Name: x.Name, Nodes: x.Nodes.Slice()})
				}
			}
			c := check(t, doctor.Run(o), tt.id)
			if c.Verdict != tt.want || !strings.Contains(c.Found, tt.found) {
				t.Errorf("got %+v, want %s %q", c, tt.want, tt.found)
			}
			if (c.Verdict == doctor.Fail || c.Verdict == doctor.Warn) && c.Do == "" {
				t.Errorf("%s does not say what to do: %s", c.ID, c.Found)
			}
		})
	}
}

// TestLive: every probe answers on the running host, whatever it is.
func TestLive(t *testing.T) {
	r := doctor.Run(doctor.Options{Host: hostfs.New(""), Kernel: doctor.Live{}, ConfigName: "none"})
	ids := map[string]bool{}
	for _, c := range r.Checks {
		if c.ID == "" || ids[c.ID] || c.Found == "" {
			t.Errorf("%+v", c)
		}
		ids[c.ID] = true
		t.Logf("%-8s %-22s %s", c.Verdict, c.ID, c.Found)
	}
	if !r.Live || r.Kernel == "" {
		t.Errorf("%+v", r)
	}
}
