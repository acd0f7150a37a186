package hostfs

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Stat is what tierd needs of /proc/PID/stat.
type Stat struct {
	PID, PPID  int
	Comm       string
	State      byte   // 'R', 'S', 'D', 'Z' …
	Flags      uint64 // PF_*; PF_KTHREAD is 0x00200000
	NumThreads int
	// Ticks is the CPU time that it has used, of users and system, in clock ticks.
	Ticks uint64
	// StartTime is in clock ticks since boot. With the PID it names a process for ever.
	StartTime uint64
	// StartCode and StartStack are addresses; the kernel gives 0 or 1 to readers that may not trace the process.
	// They change on exec, which StartTime does not.
	StartCode, StartStack uint64
	RSSPages              uint64
}

// Kernel says whether the process is a thread of the kernel.
func (s Stat) Kernel() bool { return s.Flags&0x00200000 != 0 }

// ParseStat reads /proc/PID/stat. The name may hold blanks, parentheses and newlines: it ends at the last ')'.
func ParseStat(b []byte) (Stat, error) {
	open := bytes.IndexByte(b, '(')
	end := bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return Stat{}, fmt.Errorf("stat: no name in %.60q", b)
	}
	pid, ok := atoi(clean(b[:open]))
	if !ok {
		return Stat{}, fmt.Errorf("stat: bad pid in %.60q", b)
	}
	s := Stat{PID: pid, Comm: string(b[open+1 : end])}
	rest := b[end+1:]
	const firstField, lastField = 3, 28 // numbered as in proc_pid_stat(5)
	for field := firstField; field <= lastField; field++ {
		rest = bytes.TrimLeft(rest, " ")
		var word []byte
		if i := bytes.IndexAny(rest, " \n"); i >= 0 {
			word, rest = rest[:i], rest[i+1:]
		} else {
			word, rest = rest, nil
		}
		if len(word) == 0 {
			return Stat{}, fmt.Errorf("stat: field %d is missing", field)
		}
		var dst *uint64
		var n uint64
		switch field {
		case 3:
			s.State = word[0]
			continue
		case 4, 14, 15, 20:
			dst = &n
		case 9:
			dst = &s.Flags
		case 22:
			dst = &s.StartTime
		case 24:
			dst = &s.RSSPages
		case 26:
			dst = &s.StartCode
		case 28:
			dst = &s.StartStack
		default:
			continue
		}
		v, ok := atou(word)
		if !ok {
			return Stat{}, fmt.Errorf("stat: field %d: bad value %.40q", field, word)
		}
		*dst = v
		switch field {
		case 4:
			s.PPID = int(n)
		case 14, 15:
			s.Ticks += n
		case 20:
			s.NumThreads = int(n)
		}
	}
	return s, nil
}

// atou reads an unsigned number without allocating. A negative one reads as 0: the kernel writes -1 for
// some fields of kernel threads.
func atou(b []byte) (uint64, bool) {
	neg := len(b) > 1 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if neg {
		n = 0
	}
	return n, true
}

// Status is what tierd needs of /proc/PID/status. Sizes are in bytes, and unknown for
// processes without an address space.
type Status struct {
	// UID holds the real, effective, saved and file system user.
	UID                    [4]uint32
	VmRSS, VmLck, VmPin    Value
	CpusAllowed            []int
	MemsAllowed            []int
	HasCpusAllowed, HasUID bool
	HasMemsAllowed         bool
}

// ParseStatus reads /proc/PID/status.
func ParseStatus(r io.Reader) (Status, error) {
	var st Status
	s := lines(r)
	for s.Scan() {
		key, value, ok := strings.Cut(s.Text(), ":")
		if !ok {
			continue
		}
		var err error
		switch key {
		case "Uid":
			f := strings.Fields(value)
			if len(f) != len(st.UID) {
				return Status{}, fmt.Errorf("status: Uid: bad value %.60q", value)
			}
			for i := range f {
				var n uint64
				if n, err = strconv.ParseUint(f[i], 10, 32); err != nil {
					return Status{}, fmt.Errorf("status: Uid: bad value %.60q", value)
				}
				st.UID[i] = uint32(n)
			}
			st.HasUID = true
		case "VmRSS":
			st.VmRSS, err = kilobytes(value)
		case "VmLck":
			st.VmLck, err = kilobytes(value)
		case "VmPin":
			st.VmPin, err = kilobytes(value)
		case "Cpus_allowed_list":
			st.CpusAllowed, err = ParseList([]byte(value))
			st.HasCpusAllowed = true
		case "Mems_allowed_list":
			st.MemsAllowed, err = ParseList([]byte(value))
			st.HasMemsAllowed = true
		}
		if err != nil {
			return Status{}, fmt.Errorf("status: %s: %w", key, err)
		}
	}
	return st, s.Err()
}

// kilobytes reads "  1234 kB".
func kilobytes(s string) (Value, error) {
	f := strings.Fields(s)
	if len(f) != 2 || f[1] != "kB" {
		return Value{}, fmt.Errorf("bad size %.40q", s)
	}
	n, ok := atou([]byte(f[0]))
	if !ok || n > 1<<54 {
		return Value{}, fmt.Errorf("bad size %.40q", s)
	}
	return Known(n << 10), nil
}

// Cgroups is where a process stands in the cgroup hierarchies. A path begins with "/"; one
// below which the reader's own namespace does not reach begins with "/..".
type Cgroups struct {
	V2      string            // "" where there is no unified hierarchy
	V1      map[string]string // by controller or named hierarchy ("memory", "name=systemd"); nil on a pure v2 host
	Deleted bool              // the v2 group was removed while the process was in it
}

// ParseCgroup reads /proc/PID/cgroup.
func ParseCgroup(r io.Reader) (Cgroups, error) {
	var c Cgroups
	s := lines(r)
	for s.Scan() {
		if s.Text() == "" {
			continue
		}
		id, rest, ok := strings.Cut(s.Text(), ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || !strings.HasPrefix(path, "/") {
			return Cgroups{}, fmt.Errorf("cgroup: bad line %.60q", s.Text())
		}
		path, deleted := strings.CutSuffix(path, " (deleted)")
		if id == "0" && controllers == "" {
			c.V2, c.Deleted = path, deleted
			continue
		}
		if c.V1 == nil {
			c.V1 = map[string]string{}
		}
		for name := range strings.SplitSeq(controllers, ",") {
			c.V1[name] = path
		}
	}
	return c, s.Err()
}

// pidFile is the path of a file of a process.
func pidFile(pid int, name string) string { return "proc/" + strconv.Itoa(pid) + "/" + name }

// PIDPath returns the path, relative to the root, of a file of a process: for [FS.Open], [FS.ReadInto] and [FS.Path].
func PIDPath(pid int, name string) string { return pidFile(pid, name) }

// PIDs appends the host's process numbers to dst, in the kernel's (ascending) order. With room in dst it
// allocates next to nothing, also with ten thousand processes.
func (f *FS) PIDs(dst []int) ([]int, error) {
	err := f.eachName("proc", func(name []byte) {
		if pid, ok := atoi(name); ok && pid > 0 {
			dst = append(dst, pid)
		}
	})
	return dst, err
}

// Stat returns what the kernel says of a process. It fails with an error for which [IsGone] holds when there is none.
func (f *FS) Stat(pid int) (Stat, error) {
	bp := f.bufs.Get().(*[]byte)
	defer f.bufs.Put(bp)
	buf := (*bp)[:1024] // 52 numbers of at most 20 digits, most of them short
	n, err := f.ReadInto(pidFile(pid, "stat"), buf)
	if err != nil && n < len(buf) {
		return Stat{}, err
	}
	// A full buffer has cut off fields after the ones that are read.
	s, err := ParseStat(buf[:n])
	if err != nil {
		return Stat{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return s, nil
}

// Status returns the identity, sizes and allowed nodes of a process.
func (f *FS) Status(pid int) (Status, error) {
	return read(f, pidFile(pid, "status"), mediumFile, fromReader(ParseStatus))
}

// Threads returns the numbers of a process's threads, in the kernel's (ascending) order.
func (f *FS) Threads(pid int) ([]int, error) {
	var tids []int
	err := f.eachName(pidFile(pid, "task"), func(name []byte) {
		if tid, ok := atoi(name); ok && tid > 0 {
			tids = append(tids, tid)
		}
	})
	return tids, err
}

// Thread is what tierd needs to know of one thread.
type Thread struct {
	Ticks uint64 // as in [Stat]
	CPUs  []int  // that it may run on
}

// Thread returns what the kernel says of a thread of a process. It fails with an error for
// which [IsGone] holds when there is none.
func (f *FS) Thread(pid, tid int) (Thread, error) {
	dir := "task/" + strconv.Itoa(tid)
	stat, err := read(f, pidFile(pid, dir+"/stat"), smallFile, ParseStat)
	if err != nil {
		return Thread{}, err
	}
	status, err := read(f, pidFile(pid, dir+"/status"), mediumFile, fromReader(ParseStatus))
	return Thread{Ticks: stat.Ticks, CPUs: status.CpusAllowed}, err
}

// Cgroup returns where a process stands in the cgroup hierarchies.
func (f *FS) Cgroup(pid int) (Cgroups, error) {
	return read(f, pidFile(pid, "cgroup"), mediumFile, fromReader(ParseCgroup))
}

// Comm returns the name of a process.
func (f *FS) Comm(pid int) (string, error) {
	b, err := f.ReadFile(pidFile(pid, "comm"), smallFile)
	return string(bytes.TrimSuffix(b, []byte("\n"))), err
}

// Exe returns the program that a process runs, as seen in its own mount namespace; a program that was
// replaced on disk ends in " (deleted)".
func (f *FS) Exe(pid int) (string, error) { return f.Readlink(pidFile(pid, "exe")) }
