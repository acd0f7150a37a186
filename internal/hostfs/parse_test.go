package hostfs_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/hostfs"
)

// schedNUMA is the end of a /proc/PID/sched.
const schedNUMA = `tierload (41, #threads: 6)
-------------------------------------------------------------------
se.exec_start                                :         31242.214000
clock-delta                                  :                   31
mm->numa_scan_seq                            :                    4
numa_pages_migrated                          :                  120
numa_preferred_nid                           :                    1
total_numa_faults                            :                 9211
current_node=1, numa_group_id=0
numa_faults node=0 task_private=12 task_shared=3 group_private=0 group_shared=0
numa_faults node=1 task_private=900 task_shared=0 group_private=0 group_shared=0
`

func reader[T any](parse func(io.Reader) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return parse(bytes.NewReader(b)) }
}

func plain[T any](parse func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return parse(b) }
}

// parsers is every parser of the package by name, with texts that it knows.
var parsers = map[string]struct {
	parse func([]byte) (any, error)
	seeds []string
}{
	"List":     {plain(hostfs.ParseList), []string{"0-1,4\n", "", "0-3\n\x00", "0-4294967295", "4-1", "-", "1,,2"}},
	"Mask":     {plain(hostfs.ParseMask), []string{"00000000,000000ff\n", "03\n", "", "zz"}},
	"Ints":     {plain(hostfs.ParseInts), []string{"10 20 20\n", "", "x"}},
	"Int":      {plain(hostfs.ParseInt), []string{"-1\n", "7", "", "x"}},
	"Hex":      {plain(hostfs.ParseHex), []string{"0x030200\n", "8000000", "", "0x"}},
	"Bool":     {plain(hostfs.ParseBool), []string{"true\n", "0", "", "maybe"}},
	"Choice":   {plain(hostfs.ParseChoice), []string{"always [madvise] never\n", "[]", "[", "none"}},
	"Release":  {plain(hostfs.ParseRelease), []string{"6.12.9-amd64\n", "Linux version 5.18.0-rc4 (x@y)", "6", "a.b"}},
	"Meminfo":  {reader(hostfs.ParseMeminfo), []string{"Node 0 MemTotal:       3005392 kB\n", "MemTotal: 1 kB\nHugePages_Total:  3\n", "X: y kB", "X: 18446744073709551615 kB"}},
	"Vmstat":   {reader(func(r io.Reader) (hostfs.Counters, error) { return hostfs.ParseVmstat(r) }), []string{"nr_dirty 1\nx -3\n", "a", "a b"}},
	"Zoneinfo": {reader(hostfs.ParseZoneinfo), []string{zoneinfo, "Node x, zone DMA\n", "Node 0, zone DMA\n spanned x\n"}},
	"PSI":      {reader(hostfs.ParsePSI), []string{"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", "", "some avg10=x"}},
	"Iomem":    {reader(hostfs.ParseIomem), []string{"00001000-0009fbff : System RAM\n  00001000-00002000 : Kernel code\n", "x", "1-2"}},
	"Stat":     {plain(hostfs.ParseStat), []string{"1 (a\n) ) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5 6 7 8 9 10 11 12\n", "1 ()", ")(", ""}},
	"Status":   {reader(hostfs.ParseStatus), []string{"Uid:\t0\t0\t0\t0\nVmRSS:\t  1 kB\nMems_allowed_list:\t0-1\n", "Uid: x", "VmRSS: 1"}},
	"Cgroup":   {reader(hostfs.ParseCgroup), []string{"0::/a\n", "4:memory,cpu:/b\n0::/ (deleted)\n", "x"}},
	"NUMAStat": {reader(func(r io.Reader) (hostfs.NUMAStat, error) { return hostfs.ParseNUMAStat(r, 4096) }), []string{
		"anon N0=4096 N2=0\nfile N0=1\n", "hierarchical_anon=3 N0=3 N1=0\nanon=1 N0=1 N1=0\nhierarchical_total=3 N0=3\n", "anon N0", "anon Nx=1", "anon N0=99999999999999999999"}},
	"CPU": {reader(hostfs.ParseCPU), []string{"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\n\nprocessor\t: 1\n", "model: x\n", "\n\n", ""}},
	"SchedNUMA": {reader(hostfs.ParseSchedNUMA), []string{
		schedNUMA, "numa_preferred_nid : x\n", "numa_faults node=0 task_private=x\n", "numa_faults task_private=1\n", "a (1, #threads: 1)\n---\n"}},
	"NvidiaNUMA":  {reader(hostfs.ParseNvidiaNUMA), []string{"Node:      250\nStatus:    online\nAddress:   40000000000\nSize:      3f0000000\n", "Node: -1", "Node: x", ""}},
	"NvidiaModel": {reader(hostfs.ParseNvidiaModel), []string{"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n", ""}},
}

func fuzz(f *testing.F, name string) {
	p := parsers[name]
	for _, s := range p.seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v1, err1 := p.parse(b)
		v2, err2 := p.parse(b)
		if (err1 == nil) != (err2 == nil) || err1 == nil && fmt.Sprintf("%+v", v1) != fmt.Sprintf("%+v", v2) {
			t.Errorf("two answers: %+v, %v and %+v, %v", v1, err1, v2, err2)
		}
	})
}

func FuzzMask(f *testing.F)        { fuzz(f, "Mask") }
func FuzzInts(f *testing.F)        { fuzz(f, "Ints") }
func FuzzInt(f *testing.F)         { fuzz(f, "Int") }
func FuzzHex(f *testing.F)         { fuzz(f, "Hex") }
func FuzzBool(f *testing.F)        { fuzz(f, "Bool") }
func FuzzChoice(f *testing.F)      { fuzz(f, "Choice") }
func FuzzRelease(f *testing.F)     { fuzz(f, "Release") }
func FuzzMeminfo(f *testing.F)     { fuzz(f, "Meminfo") }
func FuzzVmstat(f *testing.F)      { fuzz(f, "Vmstat") }
func FuzzZoneinfo(f *testing.F)    { fuzz(f, "Zoneinfo") }
func FuzzPSI(f *testing.F)         { fuzz(f, "PSI") }
func FuzzIomem(f *testing.F)       { fuzz(f, "Iomem") }
func FuzzStat(f *testing.F)        { fuzz(f, "Stat") }
func FuzzStatus(f *testing.F)      { fuzz(f, "Status") }
func FuzzCgroup(f *testing.F)      { fuzz(f, "Cgroup") }
func FuzzNvidiaNUMA(f *testing.F)  { fuzz(f, "NvidiaNUMA") }
func FuzzNUMAStat(f *testing.F)    { fuzz(f, "NUMAStat") }
func FuzzCPU(f *testing.F)         { fuzz(f, "CPU") }
func FuzzSchedNUMA(f *testing.F)   { fuzz(f, "SchedNUMA") }
func FuzzNvidiaModel(f *testing.F) { fuzz(f, "NvidiaModel") }

// FuzzList also holds the writer against the parser.
func FuzzList(f *testing.F) {
	for _, s := range parsers["List"].seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := hostfs.ParseList(b)
		if err != nil {
			return
		}
		again, err := hostfs.ParseList([]byte(hostfs.FormatList(list)))
		if err != nil || !cmp.Equal(list, again) {
			t.Errorf("%q: %v, written and read again: %v, %v", b, list, again, err)
		}
	})
}

const zoneinfo = `Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 1403
  pages free     3840
        boost    0
        min      64
        low      80
        high     96
        promo    112
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 2975, 2975, 2975, 2975)
      nr_free_pages 3840
  pagesets
    cpu: 0
              count:    0
              high:     14
              batch:    1
  node_unreclaimable:  0
  start_pfn:           1
Node 0, zone  Movable
  pages free     0
        boost    0
        min      0
        low      0
        high     0
        promo    0
        spanned  0
        present  0
        managed  0
        cma      0
        protection: (0, 0, 0, 0, 0)
`

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		parser, in string
		want       any
	}{
		{"List", "0-1,4\n", []int{0, 1, 4}},
		{"List", "4,0-2,1\n", []int{0, 1, 2, 4}},
		{"List", "0-3\n\x00", []int{0, 1, 2, 3}},
		{"List", "\n", []int(nil)},
		{"Mask", "0000,00000011,11111111\n", []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36}},
		{"Ints", "10 20 30\n", []int{10, 20, 30}},
		{"Int", "-1\n", -1},
		{"Hex", "0x030200\n", uint64(0x030200)},
		{"Choice", "[none] integrity confidentiality", "none"},
		{"Release", "Linux version 5.18.0-rc4 (a@b) (gcc)", hostfs.Release{Major: 5, Minor: 18, Text: "5.18.0-rc4"}},
		{"Meminfo", "Node 7 MemTotal:  2 kB\nNode 7 HugePages_Free:  3\n", hostfs.Counters{"MemTotal": 2048, "HugePages_Free": 3}},
		{"Vmstat", "nr_free_pages 7\nnr_odd -1\n", hostfs.Counters{"nr_free_pages": 7, "nr_odd": 0}},
		{"Zoneinfo", zoneinfo, []hostfs.Zone{
			{Node: 0, Name: "DMA", StartPFN: hostfs.Known(1), Spanned: 4095, Present: 3998, Managed: 3840, Free: 3840, WatermarkMin: 64, WatermarkLow: 80, WatermarkHigh: 96},
			{Node: 0, Name: "Movable"},
		}},
		{"PSI", "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n", hostfs.PSI{Some: hostfs.Pressure{Avg10: 1, TotalUS: 5}}},
		{"Iomem", "00001000-0009fbff : System RAM\n  00002000-00003fff : Kernel code\n", []hostfs.Resource{
			{Start: 0x1000, End: 0x9fbff, Name: "System RAM"}, {Start: 0x2000, End: 0x3fff, Depth: 1, Name: "Kernel code"},
		}},
		{"Stat", "9 (x) y\n) Z 1 9 9 0 -1 2129984 98 0 0 0 0 0 0 0 20 0 1 0 55 0 0 18446744073709551615 1 1 0 0",
			hostfs.Stat{PID: 9, PPID: 1, Comm: "x) y\n", State: 'Z', Flags: 2129984, NumThreads: 1, StartTime: 55, StartCode: 1}},
		{"Status", "Name:\tx\nUid:\t1\t2\t3\t4\nVmLck:\t       0 kB\nVmPin:\t       8 kB\nVmRSS:\t    4 kB\nCpus_allowed_list:\t0-1\nMems_allowed_list:\t0\n",
			hostfs.Status{UID: [4]uint32{1, 2, 3, 4}, HasUID: true, VmRSS: hostfs.Known(4096), VmLck: hostfs.Known(0), VmPin: hostfs.Known(8192),
				CpusAllowed: []int{0, 1}, HasCpusAllowed: true, MemsAllowed: []int{0}, HasMemsAllowed: true}},
		{"Status", "Name:\tkthreadd\nUid:\t0\t0\t0\t0\n", hostfs.Status{HasUID: true}},
		{"Cgroup", "12:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c:d (deleted)\n",
			hostfs.Cgroups{V2: "/c:d", Deleted: true, V1: map[string]string{"cpu": "/a", "cpuacct": "/a", "name=systemd": "/b"}}},
		{"NvidiaNUMA", "Node:      250\nStatus:    online\n", hostfs.NvidiaNUMA{Node: 250, Status: "online"}},
		{"NvidiaModel", "Model: \t\t NVIDIA H100 80GB HBM3\n", "NVIDIA H100 80GB HBM3"},
	} {
		got, err := parsers[tc.parser].parse([]byte(tc.in))
		if err != nil {
			t.Errorf("%s %.40q: %v", tc.parser, tc.in, err)
			continue
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s %.40q (-want +got):\n%s", tc.parser, tc.in, d)
		}
	}
}

func TestParseRejects(t *testing.T) {
	for _, tc := range []struct{ parser, in string }{
		{"List", "0-4294967295"}, {"List", "4-1"}, {"List", "1,,2"}, {"List", "-"}, {"List", "0x1"},
		{"Mask", "zz"}, {"Int", ""}, {"Hex", "0x"}, {"Bool", "maybe"}, {"Choice", "none"}, {"Release", "6"},
		{"Meminfo", "MemTotal: many kB"}, {"Vmstat", "a b"}, {"Zoneinfo", "Node x, zone DMA"},
		{"PSI", ""}, {"Iomem", "x : y"}, {"Stat", "1 (a) S"}, {"Stat", "(a) S 1"}, {"Status", "VmRSS: 4 MB"},
		{"Cgroup", "0:/"}, {"NvidiaNUMA", "Status: online"},
	} {
		got, err := parsers[tc.parser].parse([]byte(tc.in))
		if err == nil {
			t.Errorf("%s %q: %+v, want an error", tc.parser, tc.in, got)
		} else if strings.Contains(err.Error(), "failed to") {
			t.Errorf("%s %q: %v: the noun comes first", tc.parser, tc.in, err)
		}
	}
}

func TestNUMAStat(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want hostfs.NUMAStat
	}{
		"unified": {"anon N0=4096 N2=0\nfile N0=8192 N2=4096\n", hostfs.NUMAStat{"anon": {0: 4096, 2: 0}, "file": {0: 8192, 2: 4096}}},
		"old": {"total=9 N0=9\nanon=4 N0=4\nhierarchical_total=9 N0=9\nhierarchical_anon=5 N0=3 N1=2\n",
			hostfs.NUMAStat{"anon": {0: 3 * 4096, 1: 2 * 4096}}},
	} {
		got, err := hostfs.ParseNUMAStat(strings.NewReader(tt.text), 4096)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSchedNUMA(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want hostfs.SchedNUMA
	}{
		"alone": {schedNUMA, hostfs.SchedNUMA{Preferred: 1, Faults: map[int]uint64{0: 15, 1: 900}}},
		"in a group": {"numa_faults node=0 task_private=1 task_shared=0 group_private=7 group_shared=8\n",
			hostfs.SchedNUMA{Preferred: -1, Faults: map[int]uint64{0: 15}}},
		"without": {"init (1, #threads: 1)\nse.exec_start : 1.0\n", hostfs.SchedNUMA{Preferred: -1}},
	} {
		got, err := hostfs.ParseSchedNUMA(strings.NewReader(tt.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
