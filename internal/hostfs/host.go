package hostfs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Counters are numbers by the kernel's own names. A name that the kernel does not give is not in it.
type Counters map[string]uint64

// Get returns a counter, and whether the kernel gives it.
func (c Counters) Get(name string) Value {
	n, ok := c[name]
	return Value{N: n, OK: ok}
}

// ParseMeminfo reads /proc/meminfo and nodeN/meminfo. Sizes are in bytes; the few lines
// without a unit (HugePages_Total …) are counts. Lines that it does not understand are left out.
func ParseMeminfo(r io.Reader) (Counters, error) {
	c := Counters{}
	s := lines(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) >= 4 && f[0] == "Node" { // "Node 0 MemTotal:  3005392 kB"
			f = f[2:]
		}
		if len(f) < 2 || !strings.HasSuffix(f[0], ":") {
			continue
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("meminfo: %s bad value %.40q", f[0], f[1])
		}
		if len(f) >= 3 && f[2] == "kB" {
			if n > 1<<54 {
				return nil, fmt.Errorf("meminfo: %s bad value %.40q", f[0], f[1])
			}
			n <<= 10
		}
		c[strings.TrimSuffix(f[0], ":")] = n
	}
	return c, s.Err()
}

// ParseVmstat reads /proc/vmstat, nodeN/vmstat and memory.stat-like files: a name and a number per line.
// With names, only those are kept.
func ParseVmstat(r io.Reader, names ...string) (Counters, error) {
	c := Counters{}
	s := lines(r)
	for s.Scan() {
		name, value, ok := bytes.Cut(s.Bytes(), []byte(" "))
		if !ok {
			continue
		}
		if len(names) > 0 && !slices.Contains(names, string(name)) {
			continue
		}
		n, err := strconv.ParseUint(string(clean(value)), 10, 64)
		if err != nil {
			// Some counters are differences and go below zero for a moment.
			if i, err := strconv.ParseInt(string(clean(value)), 10, 64); err == nil && i < 0 {
				n = 0
			} else {
				return nil, fmt.Errorf("vmstat: %.40q bad value %.40q", name, value)
			}
		}
		c[string(name)] = n
	}
	return c, s.Err()
}

// Zone is one zone of one node. Sizes and watermarks are in pages.
type Zone struct {
	Node int
	Name string
	// StartPFN is unknown for a zone without pages.
	StartPFN                         Value
	Spanned, Present, Managed        uint64
	Free, WatermarkMin, WatermarkLow uint64
	WatermarkHigh                    uint64
}

// ParseZoneinfo reads /proc/zoneinfo.
func ParseZoneinfo(r io.Reader) ([]Zone, error) {
	var zones []Zone
	var z *Zone
	s := lines(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) >= 4 && f[0] == "Node" && f[2] == "zone" {
			node, ok := atoi([]byte(strings.TrimSuffix(f[1], ",")))
			if !ok || node > maxListID {
				return nil, fmt.Errorf("zoneinfo: bad node %.40q", f[1])
			}
			zones = append(zones, Zone{Node: node, Name: f[3]})
			z = &zones[len(zones)-1]
			continue
		}
		if z == nil || len(f) < 2 {
			continue
		}
		var dst *uint64
		value := f[1]
		switch f[0] {
		case "pages": // "pages free 3840"
			if f[1] != "free" || len(f) < 3 {
				continue
			}
			dst, value = &z.Free, f[2]
		case "min":
			dst = &z.WatermarkMin
		case "low":
			dst = &z.WatermarkLow
		case "high":
			// Per-CPU sets have "high:", with a colon, so this one is the zone's.
			dst = &z.WatermarkHigh
		case "spanned":
			dst = &z.Spanned
		case "present":
			dst = &z.Present
		case "managed":
			dst = &z.Managed
		case "start_pfn:":
			z.StartPFN.OK = true
			dst = &z.StartPFN.N
		default:
			continue
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("zoneinfo: node %d zone %s: %s bad value %.40q", z.Node, z.Name, f[0], value)
		}
		*dst = n
	}
	return zones, s.Err()
}

// Pressure is one line of a pressure file: the share of time lost, in percent, and the total in microseconds.
type Pressure struct {
	Avg10, Avg60, Avg300 float64
	TotalUS              uint64
}

// PSI is a pressure file. FullOK is false where the kernel gives no "full" line.
type PSI struct {
	Some, Full Pressure
	FullOK     bool
}

// ParsePSI reads /proc/pressure/memory and a cgroup's memory.pressure.
func ParsePSI(r io.Reader) (PSI, error) {
	var psi PSI
	someOK := false
	s := lines(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) == 0 {
			continue
		}
		p := &psi.Some
		switch f[0] {
		case "some":
			someOK = true
		case "full":
			p, psi.FullOK = &psi.Full, true
		default:
			continue
		}
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			var err error
			switch k {
			case "avg10":
				p.Avg10, err = strconv.ParseFloat(v, 64)
			case "avg60":
				p.Avg60, err = strconv.ParseFloat(v, 64)
			case "avg300":
				p.Avg300, err = strconv.ParseFloat(v, 64)
			case "total":
				p.TotalUS, err = strconv.ParseUint(v, 10, 64)
			}
			if err != nil {
				return PSI{}, fmt.Errorf("pressure: bad field %.40q", kv)
			}
		}
	}
	if err := s.Err(); err != nil {
		return PSI{}, err
	}
	if !someOK {
		return PSI{}, fmt.Errorf("pressure: no line \"some\"")
	}
	return psi, nil
}

// Resource is one line of the physical address map; End is the last byte.
type Resource struct {
	Start, End uint64
	Depth      int
	Name       string
}

// ParseIomem reads /proc/iomem. Without CAP_SYS_ADMIN the kernel writes zeros for all addresses; the names stand.
func ParseIomem(r io.Reader) ([]Resource, error) {
	var list []Resource
	s := lines(r)
	for s.Scan() {
		line := strings.TrimRight(s.Text(), " ")
		if line == "" {
			continue
		}
		body := strings.TrimLeft(line, " ")
		span, name, ok := strings.Cut(body, " : ")
		first, last, ok2 := strings.Cut(span, "-")
		if !ok || !ok2 {
			return nil, fmt.Errorf("iomem: bad line %.60q", line)
		}
		start, err1 := strconv.ParseUint(first, 16, 64)
		end, err2 := strconv.ParseUint(last, 16, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("iomem: bad line %.60q", line)
		}
		list = append(list, Resource{Start: start, End: end, Depth: (len(line) - len(body)) / 2, Name: name})
	}
	return list, s.Err()
}

// Release is a kernel's version.
type Release struct {
	Major, Minor int
	Text         string // as the kernel gives it: "6.12.9-amd64"
}

// AtLeast says whether r is major.minor or later.
func (r Release) AtLeast(major, minor int) bool {
	return r.Major > major || r.Major == major && r.Minor >= minor
}

// ParseRelease reads /proc/sys/kernel/osrelease, or the beginning of /proc/version.
func ParseRelease(b []byte) (Release, error) {
	s := strings.TrimPrefix(string(clean(b)), "Linux version ")
	s, _, _ = strings.Cut(s, " ")
	major, rest, ok := strings.Cut(s, ".")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	ma, ok1 := atoi([]byte(major))
	mi, ok2 := atoi([]byte(rest[:end]))
	if !ok || !ok1 || !ok2 {
		return Release{}, fmt.Errorf("kernel release: bad value %.60q", b)
	}
	return Release{Major: ma, Minor: mi, Text: s}, nil
}

// lines scans lines of a bounded length.
func lines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, smallFile), mediumFile)
	return s
}

// fromReader makes a parser of a reader fit [read].
func fromReader[T any](parse func(io.Reader) (T, error)) func([]byte) (T, error) {
	return func(b []byte) (T, error) { return parse(bytes.NewReader(b)) }
}

// Meminfo returns the host's memory statistics, in bytes.
func (f *FS) Meminfo() (Counters, error) {
	return read(f, "proc/meminfo", mediumFile, fromReader(ParseMeminfo))
}

// Vmstat returns the named counters of the host; all of them without names.
func (f *FS) Vmstat(names ...string) (Counters, error) {
	return read(f, "proc/vmstat", mediumFile, func(b []byte) (Counters, error) {
		return ParseVmstat(bytes.NewReader(b), names...)
	})
}

// Zones returns every zone of every node.
func (f *FS) Zones() ([]Zone, error) {
	return read(f, "proc/zoneinfo", largeFile, fromReader(ParseZoneinfo))
}

const cgroupDir = "sys/fs/cgroup"

// cgroupFile is a file of a group below the directory of its hierarchy.
func cgroupFile(path, name string) (string, error) {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "/..") {
		return "", fmt.Errorf("cgroup %.200q: not below the root", path)
	}
	return path + "/" + name, nil
}

// CgroupMemoryPressure returns the memory pressure of a group of the unified hierarchy, by its path there.
func (f *FS) CgroupMemoryPressure(path string) (PSI, error) {
	file, err := cgroupFile(path, "memory.pressure")
	if err != nil {
		return PSI{}, err
	}
	return read(f, cgroupDir+file, smallFile, fromReader(ParsePSI))
}

// MemoryPressure returns the host's memory pressure.
func (f *FS) MemoryPressure() (PSI, error) {
	return read(f, "proc/pressure/memory", smallFile, fromReader(ParsePSI))
}

// Iomem returns the physical address map.
func (f *FS) Iomem() ([]Resource, error) {
	return read(f, "proc/iomem", largeFile, fromReader(ParseIomem))
}

// KernelRelease returns the version of the host's kernel.
func (f *FS) KernelRelease() (Release, error) {
	r, err := read(f, "proc/sys/kernel/osrelease", smallFile, ParseRelease)
	if err == nil {
		return r, nil
	}
	if v, err := read(f, "proc/version", smallFile, ParseRelease); err == nil {
		return v, nil
	}
	return r, err
}

// NumaBalancing returns the mode of the kernel's NUMA balancing: 0 off, 1 on, 2 memory tiering (bits).
func (f *FS) NumaBalancing() (int, error) {
	return read(f, "proc/sys/kernel/numa_balancing", smallFile, ParseInt)
}

const demotionFile = "sys/kernel/mm/numa/demotion_enabled"

// DemotionEnabled says whether the kernel demotes pages on reclaim.
func (f *FS) DemotionEnabled() (bool, error) {
	return read(f, demotionFile, smallFile, ParseBool)
}

// DemotionPath names the switch of [FS.DemotionEnabled] for a person.
func (f *FS) DemotionPath() string { return f.Path(demotionFile) }

// KernelTypes returns nil if the kernel gives the types of its structures, as BTF.
func (f *FS) KernelTypes() error {
	fd, err := f.Open("sys/kernel/btf/vmlinux", unix.O_RDONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// maxKdamonds bounds how many workers of DAMON are asked for their state.
const maxKdamonds = 64

// DAMONWorkers is the folder of DAMON's workers, relative to the root.
const DAMONWorkers = "sys/kernel/mm/damon/admin/kdamonds"

// BootID is another one after each boot; "" where there is none.
func (f *FS) BootID() string {
	id, _ := read(f, "proc/sys/kernel/random/boot_id", smallFile, ParseWord)
	return id
}

// DAMON returns how many workers somebody has set up through sysfs, and how many of them run.
func (f *FS) DAMON() (workers, running int, err error) {
	const dir = DAMONWorkers
	workers, err = read(f, dir+"/nr_kdamonds", smallFile, ParseInt)
	if err != nil {
		return 0, 0, err
	}
	for i := range min(workers, maxKdamonds) {
		// One that cannot be read went away meanwhile, and counts as one that does not run.
		if on, err := read(f, dir+"/"+strconv.Itoa(i)+"/state", smallFile, ParseBool); err == nil && on {
			running++
		}
	}
	return workers, running, nil
}

// DAMONStat tells whether the kernel's own module monitors by DAMON, which nobody else can do then.
func (f *FS) DAMONStat() bool {
	on, err := read(f, "sys/module/damon_stat/parameters/enabled", smallFile, ParseBool)
	return err == nil && on
}

// LRUGenEnabled returns the switches of the multi-generational LRU; 0 is off.
func (f *FS) LRUGenEnabled() (uint64, error) {
	return read(f, "sys/kernel/mm/lru_gen/enabled", smallFile, ParseHex)
}

// THPEnabled returns the mode of transparent huge pages: always, madvise or never.
func (f *FS) THPEnabled() (string, error) {
	return read(f, "sys/kernel/mm/transparent_hugepage/enabled", smallFile, ParseChoice)
}

// Lockdown returns the lockdown mode: none, integrity or confidentiality.
func (f *FS) Lockdown() (string, error) {
	return read(f, "sys/kernel/security/lockdown", smallFile, ParseChoice)
}
