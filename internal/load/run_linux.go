package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// startPoll is how often the start file is looked for.
const startPoll = 20 * time.Millisecond

// Run owns memory and accesses it as cfg, which must have passed Check, says,
// until the duration is over or ctx ends, and writes its lines to out. That ctx
// ends is not an error: the last line is written in any case.
func Run(ctx context.Context, cfg *Config, out io.Writer) error {
	schedule := NewSchedule(cfg)
	mem, err := NewMemory(cfg.Size, cfg.Huge)
	if err != nil {
		return err
	}
	err = run(ctx, cfg, schedule, mem, out)
	return errors.Join(err, mem.Close())
}

func run(ctx context.Context, cfg *Config, schedule *Schedule, mem *Memory, out io.Writer) error {
	rep := newReporter(cfg, mem, out)
	var probe *Probe
	if cfg.MmapProbe {
		probe = new(Probe)
	}
	ended := func(reason string, t time.Duration, st Stage, total uint64) error {
		var mmap *Latency
		if probe != nil {
			mmap = probe.Summary()
		}
		return rep.summary(reason, t, st, total, maxRSS(), mmap)
	}

	if err := prepare(ctx, cfg, mem); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return ended("signal", 0, schedule.At(0), 0)
		}
		return err
	}

	var (
		stage   atomic.Pointer[Stage]
		workers = make([]*worker, cfg.Threads)
		total   = func() (sum uint64) {
			for _, w := range workers {
				sum += w.count.Load()
			}
			return sum
		}
		first = schedule.At(0)
	)
	for i := range workers {
		workers[i] = &worker{base: mem.base, stage: &stage, write: cfg.Write, rate: cfg.Rate / float64(cfg.Threads)}
	}
	stage.Store(&first)
	// How the memory lies before anything is accessed.
	if err := rep.sample(0, first, 0, -1); err != nil {
		return err
	}

	start := time.Now()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	if cfg.Duration > 0 {
		inner, stop = context.WithTimeout(inner, cfg.Duration)
		defer stop()
	}
	group, inner := errgroup.WithContext(inner)
	for i, w := range workers {
		// Every worker scans from its own part of the memory on.
		cursor := Cursor{
			Rand: NewRand(cfg.Seed, uint64(i)+1),
			scan: uint64(mem.Pages()) * PageLines / uint64(len(workers)) * uint64(i),
		}
		group.Go(func() error { w.run(inner, cursor); return nil })
	}
	group.Go(func() error { follow(inner, schedule, start, &stage); return nil })
	if probe != nil {
		group.Go(func() error { return probe.Run(inner) })
	}
	group.Go(func() error {
		tick := time.NewTicker(cfg.Interval)
		defer tick.Stop()
		for {
			select {
			case <-inner.Done():
				return nil
			case <-tick.C:
			}
			if err := rep.sample(time.Since(start), *stage.Load(), total(), mmapMax(probe)); err != nil {
				return err
			}
		}
	})
	err := group.Wait()
	t := time.Since(start)
	if err != nil {
		return err
	}
	// What is left of the last interval, so that the number of lines does not
	// depend on which of two timers was first.
	if t-rep.lastT >= cfg.Interval/2 {
		if err := rep.sample(t, *stage.Load(), total(), mmapMax(probe)); err != nil {
			return err
		}
	}
	reason := "duration"
	if ctx.Err() != nil {
		reason = "signal"
	}
	return ended(reason, t, *stage.Load(), total())
}

// prepare touches the memory, says so, and waits for the start.
func prepare(ctx context.Context, cfg *Config, mem *Memory) error {
	if err := mem.Touch(ctx, cfg.Node); err != nil {
		return err
	}
	if cfg.ReadyFile != "" {
		if err := os.WriteFile(cfg.ReadyFile, nil, 0o644); err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
	}
	if cfg.StartFile == "" {
		return nil
	}
	for {
		_, err := os.Stat(cfg.StartFile)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("start file: %w", err)
		}
		pause(ctx, startPoll)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// follow puts each stage in force when its time has come.
func follow(ctx context.Context, schedule *Schedule, start time.Time, stage *atomic.Pointer[Stage]) {
	for {
		st := schedule.At(time.Since(start))
		stage.Store(&st)
		if st.Until == 0 {
			return
		}
		t := time.NewTimer(time.Until(start.Add(st.Until)))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func mmapMax(p *Probe) time.Duration {
	if p == nil {
		return -1
	}
	return p.Take()
}

func maxRSS() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss << 10
}
