package sim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Why a recording cannot be simulated, or not as a whole.
var (
	// ErrNothing: no memory of any process is in it, or no time passes.
	ErrNothing = errors.New("recording has nothing to simulate")
	// ErrOtherMachine: the nodes or the tiers are others from there on.
	ErrOtherMachine = errors.New("recording goes on with another machine")
	// ErrTooLarge: it takes more memory to simulate than a simulation may.
	ErrTooLarge = errors.New("recording is too large to simulate")
)

const (
	// maxTracks bounds the regions that a recording may have in all its time, and
	// maxLives how often they may come and go.
	maxTracks, maxLives = 1 << 22, 1 << 23
	// maxChanges bounds the changes of rates. Where there are more, the small ones are
	// left out.
	maxChanges = 1 << 22
	// maxNodeChanges does the same for what others have of the nodes.
	maxNodeChanges = 1 << 18
	// leastChange is the least difference of ln(rate) that is a change.
	leastChange = 0.02
	// leftSigma is by how many standard deviations an estimate must be off the mean of
	// those before to belong to another rate.
	leftSigma, leftLeast = 3, 0.3
	// partsRatio is how much hotter than the rest the hot pieces of a region must be
	// to be told apart.
	partsRatio = 2.0
	// longestGap bounds what is simulated between two frames, in seconds, and a clock
	// that went back moved by backStep.
	longestGap, backStep = 600.0, 1.0
	// foundSeconds is how long it may take until the memory of a process is found: the
	// sampler looks for it in turns.
	foundSeconds = 10
	// startSeconds is for how long changes of phase are those of the start.
	startSeconds = 30
	// mostEvents bounds those that are reported, eventSeconds is how far apart two are.
	mostEvents, eventSeconds = 16, 20
)

// Frames are those of a recording; io.EOF is their end.
type Frames interface {
	Next() (*record.Frame, error)
}

// FromRecording makes a workload of a recording, and the machine that it was made
// on. A region is used as its estimates say: while they agree with each other, at
// their weighted mean, from when the rate became so. It comes and goes as
// recorded, and lies at first where it was first seen, if there is room for it. What
// else the nodes hold is as recorded. A region without a sample, and one whose rate is
// no positive number, is not used.
//
// What the recording did not see cannot be simulated: what is used within a training step
// comes as the mean over it, and a change when the sampler had noticed it.
// Looking and deciding cost what they do on TwoTiers, moving a page what it did last.
//
// Clocks that go back, and gaps of more than ten minutes, are closed. An error that
// wraps record.ErrTorn or ErrOtherMachine, or any of reading, comes with a workload of
// what was read before, if that is something: then Seconds is above 0.
func FromRecording(in Frames) (Workload, Machine, error) {
	r := newReading()
	err := r.all(in)
	w, m, werr := r.workload()
	if werr != nil {
		return Workload{}, Machine{}, cmp.Or(err, werr)
	}
	return w, m, err
}

// reading is a recording that is being read.
type reading struct {
	out     recorded
	machine Machine
	names   []string
	shares  []policy.Workload
	events  []float64
	procs   []*recordedProcess
	index   map[policy.ProcessID]*recordedProcess
	tracks  uint32
	frame   uint64
	now     float64 // of the simulation
	before  float64 // of the frame before
	clock   float64 // of the recording
	begun   bool
	free    []uint64  // of nodes, as last written
	lowAt   []float64 // of nodes: since when there is less; +Inf: there is not
	// Of the fastest tier: bytes times seconds.
	fast, fastSeconds float64
	grain             float64 // of changes of nodes, as a part of their size
	tolerance         float64 // of ln(rate)
}

type recordedProcess struct {
	number int
	begun  float64  // when it was first seen
	tracks []*track // by address
	fresh  []*track
	frame  uint64
}

// track is what is known of a region.
type track struct {
	addr  uint64
	id    uint32
	frame uint64 // in which it was last seen; 0: it is gone
	// What follows is of the estimates that agree: since when, the sum of their
	// weights and of ln(rate), and the last rate that was written.
	since, weight, sum float64
	written            float32
	parted             *parted // the last that was known
}

func newReading() *reading {
	return &reading{index: map[policy.ProcessID]*recordedProcess{}, tolerance: leastChange}
}

func (r *reading) all(in Frames) error {
	for {
		f, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.take(f); err != nil {
			return fmt.Errorf("epoch %d: %w", f.Number, err)
		}
	}
}

// take adds a frame.
func (r *reading) take(f *record.Frame) error {
	s := f.Snapshot
	if math.IsNaN(s.Seconds) || math.IsInf(s.Seconds, 0) {
		return nil // it has no place in time
	}
	if !r.begun {
		if err := r.begin(s); err != nil {
			return err
		}
	}
	if !sameMachine(&r.machine, s) {
		return ErrOtherMachine
	}
	step := s.Seconds - r.clock
	if step < 0 {
		step = backStep
	}
	step = min(step, longestGap)
	r.before = r.now
	r.now, r.clock = float64(float32(r.now+step)), s.Seconds
	r.frame++
	if s.MoveCost > 0 && !math.IsInf(s.MoveCost, 0) {
		r.machine.MoveCost = s.MoveCost
	}
	if phase := r.now - s.SincePhase; phase > startSeconds && len(r.events) < mostEvents {
		if n := len(r.events); n == 0 || phase > r.events[n-1]+eventSeconds {
			r.events = append(r.events, phase)
		}
	}
	r.shares = mergeShares(r.shares, s.Workloads)
	held := make([]uint64, len(s.Nodes))
	for i := range s.Processes {
		if err := r.process(&s.Processes[i], held); err != nil {
			return err
		}
	}
	for _, p := range r.procs {
		if p.frame != r.frame {
			for _, t := range p.tracks {
				r.gone(p, t)
			}
		}
	}
	r.others(s, held, step)
	if len(r.out.lives) > maxLives {
		return ErrTooLarge
	}
	return nil
}

func (r *reading) begin(s *policy.Snapshot) error {
	m := TwoTiers(0) // for what looking and deciding cost
	m.Tiers, m.Nodes = slices.Clone(s.Tiers), slices.Clone(s.Nodes)
	ends := [2]bool{}
	for _, n := range s.Nodes {
		ends[0] = ends[0] || n.Tier == 0
		ends[1] = ends[1] || n.Tier == len(s.Tiers)-1
	}
	if len(s.Tiers) < 2 || !ends[0] || !ends[1] || len(s.Nodes) > policy.MaxSlots {
		return fmt.Errorf("%w: its machine has not two tiers with memory", ErrNothing)
	}
	r.machine, r.begun, r.clock = m, true, s.Seconds
	r.free, r.lowAt = make([]uint64, len(s.Nodes)), slices.Repeat([]float64{math.Inf(1)}, len(s.Nodes))
	r.grain = 1.0 / 1024
	return nil
}

// sameMachine tells whether a snapshot is of the machine.
func sameMachine(m *Machine, s *policy.Snapshot) bool {
	return slices.Equal(m.Tiers, s.Tiers) && slices.EqualFunc(m.Nodes, s.Nodes, func(a, b policy.Node) bool {
		return a.ID == b.ID && a.Tier == b.Tier
	})
}

// mergeShares keeps the last that was said of each workload.
func mergeShares(all, now []policy.Workload) []policy.Workload {
	for _, w := range now {
		i := slices.IndexFunc(all, func(x policy.Workload) bool { return x.Name == w.Name })
		w.Limits = slices.Clone(w.Limits)
		if i < 0 {
			all = append(all, w)
		} else {
			all[i] = w
		}
	}
	return all
}

// process takes what a frame has of one.
func (r *reading) process(s *policy.Process, held []uint64) error {
	p := r.index[s.ID]
	if p == nil {
		p = &recordedProcess{number: len(r.procs), begun: r.now}
		r.index[s.ID] = p
		r.procs, r.names = append(r.procs, p), append(r.names, s.Workload)
	}
	p.frame = r.frame
	at := 0
	for i := range s.Regions {
		q := &s.Regions[i]
		for at < len(p.tracks) && p.tracks[at].addr < q.Addr {
			r.gone(p, p.tracks[at])
			at++
		}
		for _, where := range q.Placement {
			if int(where.Slot) < len(held) {
				held[where.Slot] += uint64(where.Pages) * policy.PageSize
			}
		}
		var t *track
		if at < len(p.tracks) && p.tracks[at].addr == q.Addr {
			t = p.tracks[at]
			at++
		}
		if q.Pages() == 0 {
			if t != nil {
				r.gone(p, t)
			}
			continue
		}
		if t == nil {
			if r.tracks >= maxTracks {
				return ErrTooLarge
			}
			t = &track{addr: q.Addr, id: r.tracks}
			r.tracks++
			p.fresh = append(p.fresh, t)
		}
		if t.frame == 0 {
			at, placement := r.arrival(p, q)
			at = max(at, t.since)
			*t = track{addr: t.addr, id: t.id, since: at, written: -1}
			r.out.lives = append(r.out.lives, life{
				at: at, region: place{p.number, int(t.id)}, placement: placement, kind: kindOf(q.Flags), huge: q.Flags&policy.Huge != 0,
			})
		}
		t.frame = r.frame
		r.estimate(t, q, s.Details)
	}
	for ; at < len(p.tracks); at++ {
		r.gone(p, p.tracks[at])
	}
	if len(p.fresh) > 0 {
		p.tracks = append(p.tracks, p.fresh...)
		p.fresh = p.fresh[:0]
		slices.SortFunc(p.tracks, func(a, b *track) int { return cmp.Compare(a.addr, b.addr) })
	}
	return nil
}

// arrival is when a region that is new came, and where it lay then. What is found soon
// after its process was there from the beginning. Frames may be left out before this one: it was there for as long as its rate has been like this, and if
// it was moved since it came from the other end.
func (r *reading) arrival(p *recordedProcess, q *policy.Region) (at float64, placement [3]policy.SlotPages) {
	if at, placement = r.now, q.Placement; r.frame == 1 {
		return at, placement
	}
	if since := r.now - float64(q.Stable); since < r.now {
		at = max(since, r.before)
	}
	if at < p.begun+foundSeconds {
		at = p.begun
	}
	if float64(q.SinceMove) <= r.now-r.before {
		tier := 0
		if q.Flags&policy.MovedUp != 0 {
			tier = len(r.machine.Tiers) - 1
		}
		i := slices.IndexFunc(r.machine.Nodes, func(n policy.Node) bool { return n.Tier == tier })
		placement = [3]policy.SlotPages{{Pages: uint16(q.Pages()), Slot: policy.Slot(i)}}
	}
	return float64(float32(at)), placement
}

// kindOf is the kind of mapping that gives a region its flags.
func kindOf(flags uint8) pagetable.Class {
	switch {
	case flags&policy.Shared != 0:
		return pagetable.ClassShared
	case flags&policy.Bound != 0:
		return pagetable.ClassBound
	case flags&policy.Immovable != 0:
		return pagetable.ClassHugeTLB
	}
	return 0
}

// gone notes that a region is not there any more.
func (r *reading) gone(p *recordedProcess, t *track) {
	if t.frame == 0 {
		return
	}
	r.flush(t)
	t.frame, t.since = 0, r.now
	r.out.lives = append(r.out.lives, life{at: r.now, region: place{p.number, int(t.id)}})
}

// estimate adds one to those that agree, or begins anew with it.
func (r *reading) estimate(t *track, q *policy.Region, details []policy.Detail) {
	rate, variance := float64(q.Rate), float64(q.LogVar)
	if q.Flags&policy.Unseen != 0 || !(rate > 0) || math.IsInf(rate, 0) {
		return
	}
	if !(variance > 1e-4) {
		variance = 1e-4
	}
	x := math.Log(rate)
	if t.weight > 0 && math.Abs(x-t.sum/t.weight) > max(leftLeast, leftSigma*math.Sqrt(variance)) {
		r.flush(t)
		since := r.now
		if changed := r.now - float64(q.Stable); changed < r.now {
			since = max(changed, r.before)
		}
		*t = track{addr: t.addr, id: t.id, frame: t.frame, written: t.written, since: since}
	}
	t.weight += 1 / variance
	t.sum += x / variance
	t.parted = nil
	if q.Detail >= 0 && int(q.Detail) < len(details) {
		t.parted = splitPortions(&details[q.Detail])
	}
}

// flush writes the rate of the estimates that agreed.
func (r *reading) flush(t *track) {
	if t.weight == 0 {
		return
	}
	c := rateChange{at: float32(t.since), id: t.id, rate: float32(math.Exp(t.sum / t.weight))}
	c.parted = t.parted
	if c.parted == nil && t.written > 0 && math.Abs(math.Log(float64(c.rate/t.written))) < r.tolerance {
		return
	}
	if t.written = c.rate; c.parted != nil {
		t.written = -1 // what follows is another, however like its mean
	}
	r.out.rates = append(r.out.rates, c)
	for len(r.out.rates) >= maxChanges {
		r.thin()
	}
}

// thin leaves out the small changes: the tolerance grows until much of the room is
// free again.
func (r *reading) thin() {
	last := make([]float32, r.tracks)
	r.tolerance *= 2
	r.out.rates = slices.DeleteFunc(r.out.rates, func(c rateChange) bool {
		if before := last[c.id]; before > 0 && math.Abs(math.Log(float64(c.rate/before))) < r.tolerance {
			return true
		}
		last[c.id] = c.rate
		return false
	})
	if r.tolerance > 64 {
		r.out.rates = r.out.rates[:maxChanges/2]
	}
}

// splitPortions tells the hot pages of a region from the others: where the split takes
// away most of the variance. nil: they hardly differ.
func splitPortions(d *policy.Detail) *parted {
	var all []policy.Portion
	var pages, sum float64
	for _, p := range d {
		if p.Pages > 0 && p.Rate > 0 && !math.IsInf(float64(p.Rate), 0) {
			all = append(all, p)
			pages += float64(p.Pages)
			sum += float64(p.Pages) * math.Log(float64(p.Rate))
		}
	}
	slices.SortFunc(all, func(a, b policy.Portion) int { return cmp.Compare(b.Rate, a.Rate) })
	best, split, n, top := 0.0, 0, 0.0, 0.0
	for i, p := range all[:max(len(all)-1, 0)] {
		n += float64(p.Pages)
		top += float64(p.Pages) * math.Log(float64(p.Rate))
		d := top/n - (sum-top)/(pages-n)
		if between := d * d * n * (pages - n); between > best {
			best, split = between, i+1
		}
	}
	mean := func(of []policy.Portion) (rate float64, pages int) {
		for _, p := range of {
			rate += float64(p.Rate) * float64(p.Pages)
			pages += int(p.Pages)
		}
		return rate / max(float64(pages), 1), pages
	}
	hot, count := mean(all[:split])
	rest, _ := mean(all[split:])
	if split == 0 || hot < partsRatio*rest {
		return nil
	}
	return &parted{hot: float32(hot), rest: float32(rest), pages: count}
}

// others notes what is free for tracked memory.
func (r *reading) others(s *policy.Snapshot, held []uint64, step float64) {
	var fast float64
	for i, n := range s.Nodes {
		free := min(n.Free+held[i], n.Size)
		if n.Tier == 0 && free > n.Reserve {
			fast += float64(free - n.Reserve)
		}
		written := &r.free[i]
		if r.frame == 1 || r.now < foundSeconds && free > *written {
			r.machine.Nodes[i].Free, *written = free, free
			continue
		}
		grain := r.grain * float64(n.Size)
		switch {
		case float64(free)+grain < float64(*written):
			// It may be a process's memory that has not been found yet.
			r.lowAt[i] = min(r.lowAt[i], r.now)
			if r.now-r.lowAt[i] < foundSeconds {
				continue
			}
		case float64(free) <= float64(*written)+grain:
			r.lowAt[i] = math.Inf(1)
			continue
		}
		r.lowAt[i], *written = math.Inf(1), free
		r.out.nodes = append(r.out.nodes, nodeChange{at: r.now, slot: policy.Slot(i), free: free})
	}
	step = max(step, 1e-3)
	r.fast, r.fastSeconds = r.fast+fast*step, r.fastSeconds+step
	if len(r.out.nodes) > maxNodeChanges {
		r.grain *= 2
		r.out.nodes = thinNodes(r.out.nodes, s.Nodes, r.grain)
	}
}

// thinNodes leaves out changes that are less than a grain.
func thinNodes(all []nodeChange, nodes []policy.Node, grain float64) []nodeChange {
	var last [policy.MaxSlots]uint64
	all = slices.DeleteFunc(all, func(c nodeChange) bool {
		if before := last[c.slot]; before > 0 && float64(max(before, c.free)-min(before, c.free)) < grain*float64(nodes[c.slot].Size) {
			return true
		}
		last[c.slot] = c.free
		return false
	})
	if len(all) > maxNodeChanges/2 && grain > 1 {
		all = all[:maxNodeChanges/2]
	}
	return all
}

// workload is what was read so far.
func (r *reading) workload() (Workload, Machine, error) {
	if r.tracks == 0 || !(r.now > 0) {
		return Workload{}, Machine{}, ErrNothing
	}
	where := make([]place, r.tracks)
	w := Workload{Name: "recording", Seconds: r.now, Names: r.names, Shares: r.shares}
	for _, p := range r.procs {
		for i, t := range p.tracks {
			if t.frame != 0 {
				r.flush(t)
			}
			where[t.id] = place{p.number, i}
		}
		w.Regions = append(w.Regions, len(p.tracks))
	}
	for i := range r.out.lives {
		l := &r.out.lives[i]
		l.region = where[l.region.region]
	}
	r.out.sorted()
	w.Events = slices.DeleteFunc(r.events, func(at float64) bool { return at >= r.now })
	w.Fast = int(r.fast / r.fastSeconds / policy.RegionSize)
	out := r.out
	w.Play = func(h *Host) Changes { return out.play(h, where) }
	return w, r.machine, nil
}
