package damon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/sampler/pagetable"
)

const (
	admin  = hostfs.DAMONWorkers
	first  = admin + "/0"
	ctx    = first + "/contexts/0"
	number = admin + "/nr_kdamonds"
	value  = 256 // bytes that a value has at most
)

// Why DAMON cannot be used.
var (
	// ErrAbsent: the kernel has no DAMON that sysfs controls, or not for address spaces.
	ErrAbsent = errors.New("this kernel has no DAMON for address spaces")
	// ErrInUse: somebody has set up workers.
	ErrInUse = errors.New("somebody else uses DAMON")
	// ErrBusy: the kernel itself monitors.
	ErrBusy = errors.New("another module of the kernel uses DAMON")
)

// Settings are how to monitor.
type Settings struct {
	Targets []Target
	// Sample is the time between two looks at a page, Aggregate that between two accounts.
	Sample, Aggregate time.Duration
}

// Target is the memory of a process that is monitored.
type Target struct {
	PID int
	// Regions are whole pages in the order of their addresses. DAMON keeps to them: left to
	// itself it takes all between the two largest gaps of an address space for memory, and
	// looks where there is none.
	Regions []pagetable.Range
}

// MaxRegions bounds the regions of a target: a file is made for each.
const MaxRegions = 1024

func pids(targets []Target) (list []int) {
	for _, t := range targets {
		list = append(list, t.PID)
	}
	return list
}

// note is what is remembered of a worker, for the case that tierd is killed.
type note struct {
	Boot    string `json:"boot"`
	Worker  int    `json:"worker"`
	Targets []int  `json:"targets"`
}

// worker is a thread of the kernel that monitors for us.
type worker struct {
	host *hostfs.FS
	pid  int
	note string
}

func write(host *hostfs.FS, rel, v string) error {
	fd, err := host.Open(rel, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Not through the runtime's poller: the kernel may answer EAGAIN on a file that can be polled.
	if _, err := unix.Write(fd, []byte(v)); err != nil {
		return &fs.PathError{Op: "write", Path: host.Path(rel), Err: err}
	}
	return nil
}

func read(host *hostfs.FS, rel string) (string, error) {
	b, err := host.ReadFile(rel, value)
	return strings.TrimSpace(string(b)), err
}

func readInt(host *hostfs.FS, rel string) (int, error) {
	s, err := read(host, rel)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// absent names the error of a kernel without DAMON.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrAbsent
	}
	return err
}

// start sets a worker up and lets it run, and notes that in a file.
func start(host *hostfs.FS, s Settings, file string) (w *worker, err error) {
	n, err := readInt(host, number)
	if err != nil {
		return nil, absent(err)
	}
	if n > 0 {
		return nil, ErrInUse
	}
	// The note comes first: what is in the array with these targets is ours.
	if err := remember(file, note{host.BootID(), 0, pids(s.Targets)}); err != nil {
		return nil, err
	}
	if err := write(host, number, "1"); err != nil {
		_ = os.Remove(file)
		return nil, err
	}
	w = &worker{host: host, note: file}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
			w = nil
		}
	}()
	set := func(rel string, v int) {
		if err == nil {
			err = write(host, rel, strconv.Itoa(v))
		}
	}
	set(first+"/contexts/nr_contexts", 1)
	if err == nil {
		if err = write(host, ctx+"/operations", "fvaddr"); errors.Is(err, unix.EINVAL) {
			err = ErrAbsent
		}
	}
	attrs := ctx + "/monitoring_attrs"
	set(attrs+"/intervals/sample_us", int(s.Sample.Microseconds()))
	set(attrs+"/intervals/aggr_us", int(s.Aggregate.Microseconds()))
	set(attrs+"/intervals/update_us", int((10 * s.Aggregate).Microseconds()))
	regions := 3 // what the kernel wants at least
	for i := range s.Targets {
		regions = max(regions, len(s.Targets[i].Regions))
	}
	// It merges none if it needs that many, and splits none if it may not have twice as many.
	set(attrs+"/nr_regions/max", 2*regions-1)
	set(attrs+"/nr_regions/min", regions)
	set(ctx+"/targets/nr_targets", len(s.Targets))
	for i := range s.Targets {
		dir := fmt.Sprintf("%s/targets/%d/", ctx, i)
		set(dir+"pid_target", s.Targets[i].PID)
		set(dir+"regions/nr_regions", len(s.Targets[i].Regions))
		for k, r := range s.Targets[i].Regions {
			set(fmt.Sprintf("%sregions/%d/start", dir, k), int(r.Start))
			set(fmt.Sprintf("%sregions/%d/end", dir, k), int(r.End))
		}
	}
	if err != nil {
		return w, err
	}
	if err = write(host, first+"/state", "on"); errors.Is(err, unix.EBUSY) {
		err = ErrBusy
	}
	if err != nil {
		return w, err
	}
	if w.pid, err = readInt(host, first+"/pid"); err == nil {
		err = remember(file, note{host.BootID(), w.pid, pids(s.Targets)})
	}
	return w, err
}

func remember(file string, n note) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

// running tells whether the worker still is: it ends with the last of its targets.
func (w *worker) running() bool {
	pid, err := readInt(w.host, first+"/pid")
	return err == nil && pid == w.pid
}

// stop ends the worker and empties the array, if it still is ours.
func (w *worker) stop() error { return clear(w.host, w.note) }

// Recover takes away what a tierd that was killed has left running, by its note. Without
// a note, or where the array is no longer as the note says, it does nothing.
func Recover(host *hostfs.FS, file string) error { return clear(host, file) }

func clear(host *hostfs.FS, file string) error {
	b, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var n note
	if json.Unmarshal(b, &n) != nil || n.Boot != host.BootID() || !ours(host, n) {
		return os.Remove(file)
	}
	if state, err := read(host, first+"/state"); err == nil && state == "on" {
		if err := write(host, first+"/state", "off"); err != nil && !errors.Is(err, unix.EPERM) {
			return err // EPERM: it ended meanwhile
		}
	}
	if err := write(host, number, "0"); err != nil {
		return err
	}
	return os.Remove(file)
}

// ours tells whether the array has the one worker that a note tells of, or what was set up of it
// before tierd was killed.
func ours(host *hostfs.FS, n note) bool {
	if workers, err := readInt(host, number); err != nil || workers != 1 {
		return false
	}
	if pid, err := readInt(host, first+"/pid"); err != nil || pid > 0 && n.Worker != 0 && pid != n.Worker {
		return false
	}
	targets, err := readInt(host, ctx+"/targets/nr_targets")
	if errors.Is(err, fs.ErrNotExist) {
		targets, err = 0, nil
	}
	if err != nil || targets > len(n.Targets) {
		return false
	}
	var list []int
	for i := range targets {
		pid, err := readInt(host, fmt.Sprintf("%s/targets/%d/pid_target", ctx, i))
		if err != nil {
			return false
		}
		if pid != 0 {
			list = append(list, pid)
		}
	}
	return slices.Equal(list, n.Targets[:len(list)])
}
