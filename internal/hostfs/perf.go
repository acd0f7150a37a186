package hostfs

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	eventDir = "sys/bus/event_source/devices"
	// maxTerms bounds the names of a folder of an event source.
	maxTerms = 512
)

// EventSource is a unit that counts events for perf, as the kernel describes it.
type EventSource struct {
	Name string
	// Type is that of perf_event_attr.
	Type uint32
	// Formats tell which bits of the configuration a term sets ("ldlat" → "config1:0-15"), Events the
	// terms of the events that have names ("mem-loads" → "event=0xcd,umask=0x1,ldlat=3").
	Formats, Events map[string]string
	// CPUs that it counts for; nil: all.
	CPUs []int
}

// EventSource returns a unit by its name. The error wraps fs.ErrNotExist where there is none.
func (f *FS) EventSource(name string) (EventSource, error) {
	dir := join(eventDir, name)
	kind, err := read(f, join(dir, "type"), smallFile, ParseInt)
	if err != nil {
		return EventSource{}, err
	}
	if kind < 0 || kind > 1<<31-1 {
		return EventSource{}, fmt.Errorf("event source %s: bad type %d", name, kind)
	}
	s := EventSource{Name: name, Type: uint32(kind)}
	if s.Formats, err = f.words(join(dir, "format")); err != nil {
		return EventSource{}, err
	}
	if s.Events, err = f.words(join(dir, "events")); err != nil {
		return EventSource{}, err
	}
	// Units of processors with two kinds of cores have one of these.
	for _, file := range []string{"cpus", "cpumask"} {
		if cpus, err := read(f, join(dir, file), mediumFile, ParseList); err == nil {
			s.CPUs = cpus
			break
		}
	}
	return s, nil
}

// EventSources lists the units.
func (f *FS) EventSources() ([]string, error) { return f.ReadDir(eventDir) }

// words reads the files of a folder, a line each. A folder that is not there has none.
func (f *FS) words(dir string) (map[string]string, error) {
	names, err := f.ReadDir(dir)
	if err != nil {
		if IsGone(err) {
			return nil, nil
		}
		return nil, err
	}
	words := map[string]string{}
	for _, name := range names[:min(len(names), maxTerms)] {
		if text, err := f.ReadFile(join(dir, name), smallFile); err == nil {
			words[name] = string(bytes.TrimSpace(text))
		}
	}
	return words, nil
}

// CPU is what the processor says of itself.
type CPU struct {
	Vendor, Model string // "GenuineIntel"; "" where it does not say
	Family        int
	Number        int // of the model within the family
}

// ParseCPU reads the first processor of /proc/cpuinfo.
func ParseCPU(r io.Reader) (CPU, error) {
	var c CPU
	s := lines(r)
	for s.Scan() {
		name, value, ok := strings.Cut(s.Text(), ":")
		if !ok {
			if c != (CPU{}) {
				break
			}
			continue
		}
		value = strings.TrimSpace(value)
		var err error
		switch strings.TrimSpace(name) {
		case "vendor_id":
			c.Vendor = value
		case "model name":
			c.Model = value
		case "cpu family":
			c.Family, err = strconv.Atoi(value)
		case "model":
			c.Number, err = strconv.Atoi(value)
		}
		if err != nil {
			return CPU{}, fmt.Errorf("cpuinfo: %.40q: bad value %.40q", name, value)
		}
	}
	return c, s.Err()
}

// CPU returns what the first processor says of itself.
func (f *FS) CPU() (CPU, error) {
	return read(f, "proc/cpuinfo", largeFile, fromReader(ParseCPU))
}

// OnlineCPUs returns the processors that are in use, ascending.
func (f *FS) OnlineCPUs() ([]int, error) {
	return read(f, "sys/devices/system/cpu/online", mediumFile, ParseList)
}
