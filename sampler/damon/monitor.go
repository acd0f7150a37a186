package damon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/tierd/tierd/internal/bpf"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/sampler"
)

// Unavailable says why DAMON cannot be used on this host, and what an operator can do about it.
type Unavailable struct {
	// Step is what was tried: "start", "load", "attach".
	Step string
	Err  error
	Hint string
}

func (u *Unavailable) Error() string { return fmt.Sprintf("DAMON: %s: %v", u.Step, u.Err) }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// ErrEnded: the worker is not running any more, as when all of its targets have exited.
var ErrEnded = errors.New("DAMON has stopped")

// Monitor lets DAMON monitor processes, and hears what it says.
type Monitor struct {
	settings Settings
	worker   *worker
	coll     *ebpf.Collection
	hook     link.Link
	reader   *ringbuf.Reader
	record   ringbuf.Record
	blocks   []blocks // by target
}

// Start begins to monitor. note is a file by which Recover can end it. The error is an *Unavailable.
func Start(host *hostfs.FS, s Settings, note string) (*Monitor, error) {
	m := &Monitor{settings: s, blocks: make([]blocks, len(s.Targets))}
	if err := m.start(host, note); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Monitor) start(host *hostfs.FS, note string) (err error) {
	if _, err := readInt(host, number); err != nil {
		return unavailable("start", absent(err))
	}
	for i := range m.blocks {
		m.blocks[i] = blocks{}
	}
	spec, err := loadListen()
	if err == nil {
		m.coll, err = ebpf.NewCollection(spec)
	}
	if err != nil {
		return &Unavailable{Step: "load", Err: err, Hint: bpf.LoadHint(err)}
	}
	if m.worker, err = start(host, m.settings, note); err != nil {
		return unavailable("start", err)
	}
	if err = m.coll.Variables["worker"].Set(uint32(m.worker.pid)); err == nil {
		m.hook, err = link.AttachTracing(link.TracingOptions{Program: m.coll.Programs["aggregated"]})
	}
	if err == nil {
		m.reader, err = ringbuf.NewReader(m.coll.Maps["heard"])
	}
	if err != nil {
		return unavailable("attach", err)
	}
	return nil
}

func unavailable(step string, err error) *Unavailable {
	u := &Unavailable{Step: step, Err: err}
	switch {
	case errors.Is(err, ErrAbsent):
		u.Hint = "the kernel needs CONFIG_DAMON_VADDR=y and CONFIG_DAMON_SYSFS=y"
	case errors.Is(err, ErrInUse):
		u.Hint = "end the other user of DAMON, or do without this source"
	case errors.Is(err, ErrBusy):
		u.Hint = "boot with damon_stat.enabled=0, or write N to that parameter of the kernel"
	case errors.Is(err, os.ErrPermission):
		u.Hint = "only root may control DAMON: its files belong to it"
	}
	return u
}

// Close ends the monitoring, and leaves DAMON as it was.
func (m *Monitor) Close() error {
	var err error
	if m.reader != nil {
		err = m.reader.Close()
	}
	if m.hook != nil {
		err = errors.Join(err, m.hook.Close())
	}
	if m.coll != nil {
		m.coll.Close()
	}
	if m.worker != nil {
		err = errors.Join(err, m.worker.stop())
	}
	return err
}

// Worker is the thread of the kernel that monitors.
func (m *Monitor) Worker() int { return m.worker.pid }

// Targets are what is monitored.
func (m *Monitor) Targets() []Target { return m.settings.Targets }

// Drain returns what was said of the target of an index, so far. It fails with ErrEnded when
// the worker is gone.
func (m *Monitor) Drain(say func(target int, heard []sampler.Heard)) error {
	looks := int(m.settings.Aggregate / m.settings.Sample)
	// A deadline that has passed: take what there is.
	m.reader.SetDeadline(time.Unix(1, 0))
	for {
		err := m.reader.ReadInto(&m.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return fmt.Errorf("DAMON: %w", err)
		}
		var s struct {
			Start, End       uint64
			Target, Accesses uint32
		}
		if binary.Read(bytes.NewReader(m.record.RawSample), binary.NativeEndian, &s) != nil || int(s.Target) >= len(m.blocks) {
			continue
		}
		m.blocks[s.Target].say(s.Start, s.End, looks, int(min(s.Accesses, uint32(looks))))
	}
	for i, b := range m.blocks {
		if heard := b.take(m.settings.Sample.Seconds()); len(heard) > 0 {
			say(i, heard)
		}
	}
	if !m.worker.running() {
		return ErrEnded
	}
	return nil
}

// Lost counts what was said of and not heard, as the buffer was full.
func (m *Monitor) Lost() uint64 {
	var n uint64
	_ = m.coll.Variables["lost"].Get(&n)
	return n
}
