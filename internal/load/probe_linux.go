package load

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// probePause is the time between two probes.
const probePause = time.Millisecond

// Probe measures how long this process waits for its address space: it maps,
// touches and unmaps one page again and again.
type Probe struct {
	mu   sync.Mutex
	all  histogram
	last time.Duration // the longest since the last Take
}

// Run probes until ctx ends.
func (p *Probe) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		begin := time.Now()
		page, err := unix.MmapPtr(-1, 0, nil, 1<<PageShift, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return fmt.Errorf("probe: mmap: %w", err)
		}
		*(*uint64)(page) = 1
		if err := unix.MunmapPtr(page, 1<<PageShift); err != nil {
			return fmt.Errorf("probe: munmap: %w", err)
		}
		p.add(time.Since(begin))
	}
}

func (p *Probe) add(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.add(d)
	p.last = max(p.last, d)
}

// Take is the longest probe since the last Take.
func (p *Probe) Take() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.last
	p.last = 0
	return d
}

// Summary is the distribution of all probes.
func (p *Probe) Summary() *Latency {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &Latency{
		Count: p.all.count,
		P50:   micros(p.all.quantile(0.5)),
		P90:   micros(p.all.quantile(0.9)),
		P99:   micros(p.all.quantile(0.99)),
		P999:  micros(p.all.quantile(0.999)),
		Max:   micros(p.all.max),
	}
}
