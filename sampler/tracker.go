package sampler

import (
	"cmp"
	"container/heap"
	"errors"
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Space is what the tracker asks of one process's address space;
// *pagetable.Space is the real one.
type Space interface {
	// Walk reads blocks and calls visit for each with its index.
	Walk(addrs []uint64, visit func(i int, b *pagetable.Block)) (int, error)
	// Clear clears the accessed bits of ranges.
	Clear(ranges []pagetable.Range) (uint64, error)
	// Mappings lists the mappings in order of address.
	Mappings(visit func(pagetable.Run)) (vmas, policyMode int, err error)
	// ExecID changes with every execve that the last Walk has seen.
	ExecID() uint64
	Close()
}

var _ Space = (*pagetable.Space)(nil)

// Clock tells the time and what sampling has cost.
type Clock interface {
	// Now is in seconds on a monotonic clock.
	Now() float64
	// CPU is the CPU time in seconds that is charged to the budget so far,
	// the kernel's work in tierd's name included.
	CPU() float64
	// Moving is the CPU time in seconds of moving pages so far.
	Moving() float64
}

// Options of a Tracker.
type Options struct {
	// Budget and Burst are shares of one core. Burst holds for BurstSeconds
	// after a process was first sampled or many regions changed at once. At all
	// other times sampling leaves up to a third of its budget to moving, that of
	// the time after a change included.
	Budget, Burst float64
	// DetailBytes bounds the memory for regions that are hot only in parts.
	DetailBytes int
	Clock       Clock
}

// BurstSeconds is for how long the burst budget holds at most. It ends when there is
// little left to learn.
const BurstSeconds = 20

const (
	minWindow     = 0.010
	minRung       = 0.040
	maxWindow     = 2.0  // of base pages: a region has hundreds of bits
	maxHugeWindow = 10.0 // of huge pages: a region has one
	firstWindow   = 0.100
	batchRegions  = 64
	scoutBlocks   = 256
	listEvery     = 2.0  // seconds between listings of mappings
	scoutEvery    = 10.0 // seconds between looks for new memory
	// stepSeconds bounds the work of one Step, so that its owner stays
	// responsive.
	stepSeconds = 0.020
	// lapSeconds is the least time between two samples of a region.
	lapSeconds = 0.200
	// Where nothing is news, a lap over a process's regions takes one calmShare-th of the time
	// since there was some, but no more than calmLap seconds.
	calmShare, calmLap = 10, 6.0
	// Boundaries that differ by a factor of less than alikeBy are no news.
	alikeBy = 1.5
	// newsRegions is how many regions of a batch must seem to be others for that to be news.
	newsRegions = 2
	// lapParts is in how many parts of a lap the regions have their turn.
	lapParts = 8
	// scarceSeconds is how much longer a lap may take than it should before sure regions are
	// left out of most laps.
	scarceSeconds = 2.0
	// evidenceSeconds is how far apart samples are evidence each. To decide and to
	// move takes as long: what is hot for a shorter time is gone by then.
	evidenceSeconds = 0.15
	// enoughEvidence is how many hot samples of the last eight leave no doubt.
	enoughEvidence = 3
	// phaseShare is how many of the regions sampled lately must have changed for
	// a phase change, and phaseSeconds the least time between two.
	phaseShare, phaseSeconds = 0.05, 2.0
	// A burst ends where fewer than learntShare of the last learntSamples or so have
	// taught anything, but not before leastBurst seconds.
	learntShare, learntSamples, leastBurst = 0.05, 1024, 2.0
	// probable is by how many standard deviations something must be hot to be worth
	// samples of its own, and maxGroups how many groups of neighbours may be
	// cleared one by one: each costs a flush of the TLBs.
	probable, maxGroups = 1.5, 3
	// A region counts by yieldPart in the share of those that have strata. Where that
	// is less than leastYield, only one search in rareSearch is for strata.
	yieldPart, leastYield, rareSearch = 1.0 / 32, 0.1, 16
	// formSeconds is for how long a region in which strata are looked for waits for its
	// turn among the doubtful.
	formSeconds = 2.0
	// A detail yields to a region with farMore accesses than are gained by it, if it
	// is among the next yieldLooks.
	farMore, yieldLooks = 8, 32
	// doubtRung is the rung of doubtful regions: how hot they are matters, not
	// whether they are above the boundary.
	doubtRung = 2
	// searchPages is the accesses of the mean page in a window in which strata are
	// looked for, and maxSearch its greatest length in seconds.
	searchPages, maxSearch = 0.25, 0.5
	// searchSlack is by what factor a window may be another one.
	searchSlack = 2.5
	// growRegions is how many regions ahead of one that has become hot are looked at
	// next, for as long as it is new.
	growRegions, growSeconds = 12, 1.0
	// maxDoubtful bounds the regions that wait for another sample.
	maxDoubtful = 1024
	// maxSearched leaves most of it to doubt.
	maxSearched = maxDoubtful / 4
	// soonSeconds is what a timer may round off: so much ahead of time is due.
	soonSeconds = 2e-6
	// restSeconds is how much of the budget is saved up before work goes on.
	restSeconds = 0.100
	// aimed is the part of the budget that is aimed at: it is a bound, and work comes in
	// pieces.
	aimed = 0.97
	// One part in owedShare of the budget is what sampling leaves to moving, for
	// moves that take no more than owedSeconds of the budget.
	owedShare, owedSeconds = 3, 30
	// togetherSeconds is for how long pages are remembered as moved; not less than
	// the policy's cool-down.
	togetherSeconds = 10
	// maxSplits bounds the huge pages that wait for being split.
	maxSplits = 1024
	// idleSeconds is how long to wait at least when no region is due.
	idleSeconds = 0.025
	// policyLocal is the kernel's MPOL_LOCAL: the default, made explicit.
	policyLocal = 4
)

// Stats counts what the tracker did.
type Stats struct {
	Samples, Torn, Unreadable, Execs, Truncated uint64
	Listings, Scouted                           uint64
	ClearedBytes                                uint64
	// Taken is how many pages somebody else was seen to have moved.
	Taken uint64
	// Disagreed are the samples that became known as another rate, or seemed to.
	Disagreed uint64
	// Heard is by voice.
	Heard            [voices]HeardStats
	Regions, Details int
	// Mappings of all processes together.
	Mappings       int
	DetailsRefused uint64
	// Windows has the window of each boundary in seconds, the last one used.
	Windows []float64
	// Bursting tells whether the burst budget holds.
	Bursting bool
}

// ErrUnknown: the tracker does not have the process.
var ErrUnknown = errors.New("process is not tracked")

type process struct {
	id       policy.ProcessID
	workload string
	enforce  bool
	space    Space
	own      boundaries // empty: the common ones

	exec    uint64
	regions []region // by block
	fresh   []region // found by the scout, not yet merged
	extents []extent // by id
	details []policy.Detail
	pages   []detail // what the details are made of
	free    []int32  // unused details
	looked  int      // the detail that was last asked to yield
	runs    []pagetable.Run
	fitted  []pagetable.Run // those that the regions fit
	gaps    bool            // some may not: one has no page any more, or is new
	vmas    int
	bound   bool                      // the task's own memory policy
	shared  bool                      // tierd may move what others map, too
	kept    map[pagetable.Object]bool // what of that it has the account of

	listAt, scoutAt float64
	scout           uint64 // the next address to look at; 0: no round under way
	laps            [maxKeys]lap
	key             int // the key that had the last turn
	// doubtful are blocks that need another sample to be sure, in the order in which
	// they are due, the last first.
	doubtful []doubt
	pace     pace
	steps    steps
	// postponed counts batches in a row that nothing could be compared with.
	postponed int
	rivals    map[uint32]rival
	turn      int       // counts batches
	sampled   bool      // at least once
	newsAt    float64   // when it last was not as it was known to be, or other boundaries came
	by        []float64 // the boundaries then
	scale     float64   // ln of the share of accesses that are sampled
	surprises int       // regions of the batch that is read that are not as they were known to be
	err       error
}

// doubt is a block that needs another sample, not before a time.
type doubt struct {
	block uint32
	due   float64
}

// lap is one round over the regions of a key.
type lap struct {
	next  int // index of the next region
	begun float64
	took  float64
	skip  uint32 // counts rounds, to leave some regions out of some
}

// batch is a set of regions of one process whose bits were cleared together.
type batch struct {
	p        *process
	blocks   []uint32
	pieces   []uint32 // of each block, what was cleared
	biased   uint64   // a bit for each block: as in sample
	chosen   bool     // all of them: as in sample
	unsure   uint64   // the same: it may be a huge page by now, and is looked at in part
	exec     uint64
	from, to float64 // when clearing began and ended
	due      float64
	boundary float64
	key      key
	// repeats counts the looks at what was too odd to be believed, the first of
	// which was at since.
	repeats int
	since   float64
	id      uint64 // the same for all looks
	soon    bool   // its window is firstWindow at most
	// search is how long its window is, in seconds, if strata are looked for.
	search float64
}

// look is what a batch has seen of a region.
type look struct {
	region int32
	block  pagetable.Block
	s      sample
}

type batches []*batch

func (b batches) Len() int           { return len(b) }
func (b batches) Less(i, j int) bool { return b[i].due < b[j].due }
func (b batches) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b *batches) Push(x any)        { *b = append(*b, x.(*batch)) }
func (b *batches) Pop() any {
	old := *b
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*b = old[:len(old)-1]
	return x
}

// Tracker samples processes and knows their regions.
type Tracker struct {
	o       Options
	procs   []*process
	waiting batches
	spare   []*batch
	common  boundaries // of the processes that have none of their own

	tokens, lastNow, lastCPU float64
	lastMoving, owed         float64 // owed to moving, in CPU seconds
	restUntil                float64
	burstUntil, startUntil   float64
	burstAt                  float64 // when the burst began
	taught                   float64 // share of the last samples that taught something
	phaseAt                  float64 // last phase change; 0: none
	recent, recentChanged    float64 // samples lately, and those that changed
	yield                    float64 // share of regions with strata, of those looked at lately
	nextProc                 int
	splits                   []policy.Split // to be carried out
	rivals                   bool           // somebody else moves pages of this host
	splitTurn                bool
	batches                  uint64 // made so far
	stats                    Stats
	moves, heard             uint64
	deaf                     bool // accessed bits are not cleared
	keepers                  map[pagetable.Object]keeper
	unelected                bool // the keepers are to be chosen anew

	addrs  []uint64
	others []doubt // scratch of confirm
	ranges []pagetable.Range
	looks  []look
	off    []float64 // by how much the regions of a batch surprise
	snap   []policy.Process
}

// New makes a Tracker.
func New(o Options) *Tracker {
	t := &Tracker{o: o, yield: 0.5}
	t.SetBoundaries(nil)
	t.lastNow, t.lastCPU, t.lastMoving = o.Clock.Now(), o.Clock.CPU(), o.Clock.Moving()
	return t
}

// SetBudget changes the budgets of CPU time and of memory for details.
func (t *Tracker) SetBudget(budget, burst float64, detailBytes int) {
	t.o.Budget, t.o.Burst, t.o.DetailBytes = budget, burst, detailBytes
	t.restUntil = 0
}

// SetBoundaries tells the rates between the tiers, fastest first; 0 is
// unknown. The next windows are chosen by them.
func (t *Tracker) SetBoundaries(rates []float32) {
	t.common.set(rates)
	n := len(t.common.rates)
	for len(t.stats.Windows) < n {
		t.stats.Windows = append(t.stats.Windows, firstWindow)
	}
	t.stats.Windows = t.stats.Windows[:n]
}

// Steer takes the boundaries of a plan that was made of the last snapshot:
// those of all, and those that processes have of their own.
func (t *Tracker) Steer(procs []policy.Process, plan *policy.Plan) {
	t.SetBoundaries(plan.Boundaries)
	for i := range plan.Processes {
		var p *process
		if i < len(t.procs) && t.procs[i].id == procs[i].ID {
			p = t.procs[i]
		} else if p = t.find(procs[i].ID); p == nil {
			continue
		}
		p.own = boundaries{}
		if own := plan.Processes[i].Boundaries; own != nil {
			p.own.set(own)
		}
		if b := t.boundaries(p); !slices.EqualFunc(p.by, b.rates, divideAlike) {
			p.by, p.newsAt = append(p.by[:0], b.rates...), t.o.Clock.Now()
		}
	}
}

// divideAlike tells whether two boundaries divide memory into much the same parts.
func divideAlike(a, b float64) bool { return a == b || a > 0 && b > 0 && max(a/b, b/a) < alikeBy }

// boundaries are rates between tiers, and their logarithms.
type boundaries struct{ rates, logs []float64 }

func (b *boundaries) set(rates []float32) {
	b.rates, b.logs = b.rates[:0], b.logs[:0]
	for _, r := range rates[:min(len(rates), maxKeys/rungs)] {
		b.rates = append(b.rates, float64(r))
	}
	if len(b.rates) == 0 {
		b.rates = append(b.rates, 0)
	}
	for _, r := range b.rates {
		b.logs = append(b.logs, math.Log(max(r, minRate)))
	}
}

// boundaries are those that hold for a process.
func (t *Tracker) boundaries(p *process) *boundaries {
	if len(p.own.rates) == len(t.common.rates) {
		return &p.own
	}
	return &t.common
}

// Add begins to track a process. The Space becomes the tracker's.
func (t *Tracker) Add(id policy.ProcessID, workload string, enforce bool, s Space) {
	t.procs = append(t.procs, &process{id: id, workload: workload, enforce: enforce, space: s, newsAt: t.o.Clock.Now()})
}

// SetShared tells whether memory of a process that others map, too, may be moved. How it is
// used the tracker has to hear from others.
func (t *Tracker) SetShared(id policy.ProcessID, shared bool) {
	if p := t.find(id); p != nil && p.shared != shared {
		p.shared, p.listAt, p.gaps, t.unelected = shared, 0, true, true
	}
}

// SetDeaf lets the tracker look where memory lies and not clear accessed bits: how it is
// used it has to hear from others.
func (t *Tracker) SetDeaf(deaf bool) { t.deaf = deaf }

// SetPeriod tells of the training steps of a process. Until then they are to be
// found out.
func (t *Tracker) SetPeriod(id policy.ProcessID, told Period) {
	if p := t.find(id); p != nil && p.steps.told != told {
		p.steps = steps{told: told}
	}
}

// Remove forgets a process.
func (t *Tracker) Remove(id policy.ProcessID) {
	for i, p := range t.procs {
		if p.id == id {
			p.space.Close()
			p.space = nil
			t.procs = slices.Delete(t.procs, i, i+1)
			t.unelected = t.unelected || p.shared
			return
		}
	}
}

// Close forgets all processes.
func (t *Tracker) Close() {
	for len(t.procs) > 0 {
		t.Remove(t.procs[0].id)
	}
}

func (t *Tracker) find(id policy.ProcessID) *process {
	for _, p := range t.procs {
		if p.id == id {
			return p
		}
	}
	return nil
}

// Err returns why a process cannot be sampled, nil if it can.
func (t *Tracker) Err(id policy.ProcessID) error {
	if p := t.find(id); p != nil {
		return p.err
	}
	return ErrUnknown
}

// Stats returns the counters so far.
func (t *Tracker) Stats() Stats {
	s := t.stats
	s.Windows = slices.Clone(t.stats.Windows)
	s.Regions, s.Details, s.Mappings = 0, 0, 0
	for _, p := range t.procs {
		s.Regions += len(p.regions)
		s.Details += len(p.details) - len(p.free)
		s.Mappings += p.vmas
	}
	return s
}

// News rises when a sample was taken or memory moved: without that, a decision is
// the same but for the time that has passed.
func (t *Tracker) News() uint64 { return t.stats.Samples + t.moves + t.heard }

// Step does what is due, for about 20 ms at most, and returns when to call it
// again, in seconds of the clock.
func (t *Tracker) Step() float64 {
	begin := t.o.Clock.Now()
	t.elect()
	t.earn(begin)
	for now := begin; ; now = t.o.Clock.Now() {
		if len(t.waiting) > 0 && t.waiting[0].due <= now+soonSeconds {
			t.read(heap.Pop(&t.waiting).(*batch))
			if now-begin > stepSeconds {
				return now
			}
			continue
		}
		if now-begin > stepSeconds {
			return now
		}
		t.earn(now)
		next := now + 0.25
		if len(t.waiting) > 0 {
			next = min(next, t.waiting[0].due)
		}
		// Once in debt, rest until there should be enough for some work: to wake
		// up for less would spend the budget on waking up.
		if now < t.restUntil {
			return min(next, t.restUntil)
		}
		if t.tokens <= 0 {
			t.restUntil = now + restSeconds - t.tokens/t.budget(now)
			return min(next, t.restUntil)
		}
		if !t.work(now) && len(t.splits) == 0 {
			return min(next, t.due(now))
		}
	}
}

// due is when there may be work again for which nothing waits. To wake up costs
// more than to look around does, so it must not be for nothing.
func (t *Tracker) due(now float64) float64 {
	next := math.Inf(1)
	for _, p := range t.procs {
		if p.err != nil {
			continue
		}
		next = min(next, p.listAt, p.scoutAt)
		if t.deaf {
			continue
		}
		if n := len(p.doubtful); n > 0 {
			next = min(next, p.doubtful[n-1].due)
		}
		for k := range min(len(t.boundaries(p).rates)*rungs, len(p.laps)) {
			if len(p.regions) > 0 {
				next = min(next, p.laps[k].due(len(p.regions), t.lapTime(p, now)))
			}
		}
	}
	return max(next, now+idleSeconds)
}

// Budget is the share of one core that holds now.
func (t *Tracker) Budget() float64 { return t.budget(t.o.Clock.Now()) }

func (t *Tracker) budget(now float64) float64 {
	if t.taught < learntShare && now > t.burstAt+leastBurst {
		t.burstUntil = min(t.burstUntil, now)
	}
	t.stats.Bursting = now < t.burstUntil
	if t.stats.Bursting {
		return max(t.o.Budget, t.o.Burst, 1e-4)
	}
	return max(t.o.Budget, 1e-4)
}

// earn credits the budget for the time that has passed and debits the CPU
// time that was used.
func (t *Tracker) earn(now float64) {
	b := t.budget(now)
	cpu := t.o.Clock.CPU()
	t.tokens += aimed*b*(now-t.lastNow) - (cpu - t.lastCPU)
	moving := t.o.Clock.Moving()
	t.owed = min(t.owed+moving-t.lastMoving, b*owedSeconds)
	// What a start costs is not owed. A phase change is, but paid when it is over.
	if now < t.startUntil {
		t.owed = 0
	}
	pay := min(t.owed, b*(now-t.lastNow)/owedShare)
	if t.stats.Bursting {
		pay = 0
	}
	t.tokens, t.owed = t.tokens-pay, t.owed-pay
	// What was not used within half a second is lost; a debt is not.
	t.tokens = min(t.tokens, b*0.5)
	t.lastNow, t.lastCPU, t.lastMoving = now, cpu, moving
}

// work does one piece of work; false means that there is nothing to do.
func (t *Tracker) work(now float64) bool {
	if t.splitTurn = len(t.splits) > 0 && !t.splitTurn; t.splitTurn {
		t.split(now)
		return true
	}
	for range t.procs {
		p := t.procs[t.nextProc%len(t.procs)]
		t.nextProc++
		if p.err != nil {
			continue
		}
		switch {
		case now >= p.listAt:
			t.list(p, now)
			return true
		case p.steps.due(now):
			p.steps.look(p.restlessSeries(now), now)
			return true
		case p.scout != 0 || now >= p.scoutAt:
			// Known memory is sampled in between, so that a look at a large
			// address space does not stop everything else.
			t.look(p, now)
			if len(p.regions) > 0 && !t.deaf {
				t.clear(p, now)
			}
			return true
		case !t.deaf && t.clear(p, now):
			return true
		}
	}
	return false
}

// list reads the mappings of a process and fits its regions to them.
func (t *Tracker) list(p *process, now float64) {
	cpu := t.o.Clock.CPU()
	p.runs = p.runs[:0]
	vmas, mode, err := p.space.Mappings(func(r pagetable.Run) {
		if r.Class&pagetable.ClassDevice == 0 && r.End <= 1<<56 {
			p.runs = append(p.runs, r)
		}
	})
	t.stats.Listings++
	if errors.Is(err, pagetable.ErrTooMany) {
		t.stats.Truncated++
	} else if err != nil {
		p.err = err
		return
	}
	bound := mode >= 0 && mode != policyLocal
	p.gaps = p.gaps || bound != p.bound
	p.vmas, p.bound = vmas, bound
	if p.gaps || !slices.Equal(p.runs, p.fitted) {
		t.unelected = t.unelected || p.shared
		p.fit()
		p.fitted, p.gaps = append(p.fitted[:0], p.runs...), false
	}
	// Never more than a twentieth of the budget for listing.
	p.listAt = now + max(listEvery, 20*(t.o.Clock.CPU()-cpu)/max(t.o.Budget, 1e-4))
}

// pieces is the mask of the pieces of a region that a range overlaps.
func pieces(addr uint64, r pagetable.Range) uint32 {
	from := max(r.Start, addr) - addr
	to := min(r.End, addr+policy.RegionSize) - addr
	first, last := from/policy.PieceSize, (to+policy.PieceSize-1)/policy.PieceSize
	return uint32(uint64(1)<<last - uint64(1)<<first)
}

// runAt is the index of the first run that ends after an address.
func (p *process) runAt(addr uint64) int {
	i, _ := slices.BinarySearchFunc(p.runs, addr, func(r pagetable.Run, a uint64) int {
		if r.End <= a {
			return -1
		}
		return 1
	})
	return i
}

// classify says what may be done with the pieces of the region at addr; runs
// are those from the first that may overlap it. known is false when no
// mapping overlaps it.
func (p *process) classify(addr uint64, runs []pagetable.Run) (movable uint32, flags uint8, known bool) {
	var blocked, heard uint32
	for _, run := range runs {
		if run.Start >= addr+policy.RegionSize {
			break
		}
		if run.End <= addr {
			continue
		}
		known = true
		m := pieces(addr, run.Range)
		switch {
		case run.Class == 0 && !p.bound:
			movable |= m
			continue
		case p.shareable(&run) && p.kept[run.Object]:
			heard |= m
			continue
		case run.Class&(pagetable.ClassShared|pagetable.ClassFile) != 0:
			flags |= policy.Shared
		case run.Class&pagetable.ClassBound != 0 || p.bound && run.Class == 0:
			flags |= policy.Bound
		case run.Class&pagetable.ClassHugeTLB != 0:
			flags |= policy.Immovable
		}
		blocked |= m
	}
	if movable &^= blocked; movable != 0 {
		return movable, 0, known
	}
	// The accessed bits of several processes cannot be cleared; others tell of their use.
	if heard &^= blocked; heard != 0 {
		return heard, policy.Shared, known
	}
	return 0, flags, known
}

// fit drops the regions that no mapping covers any more and renews what may
// be done with the others.
func (p *process) fit() {
	runs, kept := p.runs, p.regions[:0]
	for i := range p.regions {
		r := &p.regions[i]
		for len(runs) > 0 && runs[0].End <= r.addr() {
			runs = runs[1:]
		}
		movable, flags, known := p.classify(r.addr(), runs)
		if !known || r.Pages() == 0 {
			p.freeDetail(r)
			continue
		}
		if movable != r.movable {
			p.freeDetail(r)
		}
		r.movable = movable
		r.flags = r.flags&^(policy.Shared|policy.Bound|policy.Immovable) | flags
		kept = append(kept, *r)
	}
	p.regions = kept
	p.dropExtents()
}

// Pages counts the present pages.
func (r *region) Pages() int {
	return int(r.placed[0].Pages) + int(r.placed[1].Pages) + int(r.placed[2].Pages)
}

// look reads blocks that are not sampled: memory that is new, and memory
// that only its placement is known of.
func (t *Tracker) look(p *process, now float64) {
	if p.scout == 0 {
		p.scoutAt = now + scoutEvery
		p.scout = 1
	}
	t.addrs = t.addrs[:0]
	at := p.scout
	ri, _ := slices.BinarySearchFunc(p.regions, uint32(at/policy.RegionSize), byBlock)
	i := p.runAt(at)
	for ; i < len(p.runs) && len(t.addrs) < scoutBlocks; i++ {
		a := max(at, p.runs[i].Start) &^ (policy.RegionSize - 1)
		for ; a < p.runs[i].End && len(t.addrs) < scoutBlocks; a += policy.RegionSize {
			if n := len(t.addrs); n > 0 && t.addrs[n-1] == a {
				continue
			}
			for ri < len(p.regions) && p.regions[ri].addr() < a {
				ri++
			}
			at = a + policy.RegionSize
			if ri < len(p.regions) && p.regions[ri].addr() == a && !t.deaf && p.regions[ri].movable != 0 && p.regions[ri].flags&(policy.Unseen|policy.Shared) == 0 {
				continue
			}
			t.addrs = append(t.addrs, a)
		}
	}
	if len(t.addrs) == 0 {
		p.scout = 0
		p.merge()
		return
	}
	skip := uint64(0)
	_, err := p.space.Walk(t.addrs, func(i int, b *pagetable.Block) {
		a := t.addrs[i]
		t.stats.Scouted++
		if b.Kind == pagetable.KindNone && b.LeafShift < 48 {
			// Nothing is mapped up to the end of what the entry covers.
			skip = max(skip, a&^(1<<b.LeafShift-1)+1<<b.LeafShift)
		}
		if b.PresentPages == 0 {
			return
		}
		ri, found := slices.BinarySearchFunc(p.regions, uint32(a/policy.RegionSize), byBlock)
		if found {
			p.regions[ri].place(b)
			p.gaps = p.gaps || p.regions[ri].Pages() == 0
			return
		}
		r := region{block: uint32(a / policy.RegionSize), est: estimate{vari: unknownVar}, detail: noDetail, skew: 1, changed: ticks(now), flags: policy.Unseen}
		first := p.runAt(a)
		movable, flags, known := p.classify(a, p.runs[first:])
		r.movable, r.flags = movable, r.flags|flags
		if r.place(b); known && r.Pages() > 0 {
			p.fresh = append(p.fresh, r)
		}
	})
	p.scout = max(at, skip)
	t.check(p, err)
	if len(p.fresh) >= max(4096, len(p.regions)/4) || len(p.regions) == 0 {
		p.merge()
	}
}

func byBlock(r region, block uint32) int { return cmp.Compare(r.block, block) }

// find is the index of the region at an address.
func (p *process) find(addr uint64) (i int, found bool) {
	return slices.BinarySearchFunc(p.regions, uint32(addr/policy.RegionSize), byBlock)
}

// merge adds the regions that the scout has found.
func (p *process) merge() {
	slices.SortFunc(p.fresh, func(a, b region) int { return cmp.Compare(a.block, b.block) })
	fresh := slices.CompactFunc(p.fresh, func(a, b region) bool { return a.block == b.block })
	fresh = slices.DeleteFunc(fresh, func(r region) bool {
		_, found := slices.BinarySearchFunc(p.regions, r.block, byBlock)
		return found
	})
	p.fresh = p.fresh[:0]
	if len(fresh) == 0 {
		return
	}
	p.gaps = true // what may be done with them may have changed since they were found
	// From the end: there may be a million regions, and they are sorted already.
	i, j := len(p.regions)-1, len(fresh)-1
	p.regions = slices.Grow(p.regions, len(fresh))[:len(p.regions)+len(fresh)]
	for k := len(p.regions) - 1; j >= 0; k-- {
		if i >= 0 && p.regions[i].block > fresh[j].block {
			p.regions[k], i = p.regions[i], i-1
		} else {
			p.regions[k], j = fresh[j], j-1
		}
	}
}

// check notes a process that has gone or has become another program.
func (t *Tracker) check(p *process, err error) {
	if err != nil {
		p.err = err
		return
	}
	exec := p.space.ExecID()
	if p.exec != 0 && exec != p.exec {
		t.stats.Execs++
		p.regions, p.fresh, p.extents, p.details, p.pages, p.free, p.runs, p.doubtful = nil, nil, nil, nil, nil, nil, nil, nil
		p.fitted, p.gaps, p.rivals = nil, true, nil
		p.laps, p.pace, p.steps = [maxKeys]lap{}, pace{}, steps{told: p.steps.told}
		p.listAt, p.scoutAt, p.scout = 0, 0, 0
	}
	p.exec = exec
}

// keyOf finds the boundary that a region is nearest to, and how far above it
// the region is.
func (t *Tracker) keyOf(p *process, r *region) key {
	b, at := t.boundaries(p), r.est.log
	if d := p.detail(r); d != nil {
		at = d.between(r.turn)
	}
	best, distance := 0, math.Inf(1)
	for c, l := range b.logs {
		if d := math.Abs(float64(at) - l); b.rates[c] > 0 && d < distance {
			best, distance = c, d
		}
	}
	rung := 0
	if above := float64(at) - b.logs[best]; b.rates[best] > 0 && above > 0 {
		rung = min(int(above/math.Log(ladder)), rungs-1)
	}
	return key(best*rungs + rung)
}

// sure tells whether a region is clearly on its side of a boundary.
func (t *Tracker) sure(p *process, r *region, k key) bool {
	b, c := t.boundaries(p), k.boundary()
	if b.rates[c] <= 0 || r.flags&policy.Unseen != 0 {
		return false
	}
	d := float64(r.est.log) - b.logs[c]
	return (d > 1 || d < -1) && d*d > 16*float64(r.est.vari)
}

// window chooses how long a batch of a key waits.
func (t *Tracker) window(p *process, k key, huge bool) float64 {
	w, longest := firstWindow, maxWindow
	if b := t.boundaries(p).rates[k.boundary()]; b > 0 {
		if huge {
			b, longest = b*policy.PagesPerRegion, maxHugeWindow
		}
		w = windowFor(b)
	}
	w = min(max(w, minWindow), longest)
	t.stats.Windows[k.boundary()] = w
	// Rungs end where the rate is beyond doubt, and windows would be so short
	// that they miss a process that waits for a processor.
	return max(w/math.Pow(ladder, float64(k.rung())), min(w, minRung))
}

// clear begins a batch of a process; false means that none is due.
func (t *Tracker) clear(p *process, now float64) bool {
	if len(p.regions) == 0 {
		return false
	}
	// Doubtful regions have every other turn.
	p.turn++
	if p.turn%2 == 0 && t.confirm(p, now) {
		return true
	}
	keys := len(t.boundaries(p).rates) * rungs
	if t.stats.Bursting {
		return t.clearOldest(p, keys, now) || t.confirm(p, now)
	}
	for range keys {
		p.key = (p.key + 1) % keys
		if t.clearKey(p, key(p.key), now) {
			return true
		}
	}
	return t.confirm(p, now)
}

// clearOldest begins a batch of the key whose lap began first: in a burst all regions
// have their turn equally often, however many have the same key.
func (t *Tracker) clearOldest(p *process, keys int, now float64) bool {
	for tried := uint64(0); bits.OnesCount64(tried) < keys; {
		oldest := -1
		for k := range keys {
			if tried>>k&1 == 0 && (oldest < 0 || p.laps[k].begun < p.laps[oldest].begun) {
				oldest = k
			}
		}
		if t.clearKey(p, key(oldest), now) {
			return true
		}
		tried |= 1 << oldest
	}
	return false
}

// confirm begins a batch of doubtful regions, with windows that suit the
// hotter side, or of those in which strata are looked for.
func (t *Tracker) confirm(p *process, now float64) bool {
	b, huge, forming := t.newBatch(), false, false
	b.chosen = true
	var k key
	rates := 0.0
	others := t.others[:0]
	for len(p.doubtful) > 0 && len(b.blocks) < batchRegions && p.doubtful[len(p.doubtful)-1].due <= now {
		last := p.doubtful[len(p.doubtful)-1]
		p.doubtful = p.doubtful[:len(p.doubtful)-1]
		if i, found := slices.BinarySearchFunc(p.regions, last.block, byBlock); found && p.regions[i].sampleable() {
			r := &p.regions[i]
			isHuge, isForming := r.flags&policy.Huge != 0, p.forms(r)
			if len(b.blocks) == 0 {
				huge, forming = isHuge, isForming
				k = key(r.key.boundary()*rungs + doubtRung)
			}
			if huge != isHuge || forming != isForming {
				others = append(others, last)
				continue
			}
			mask, biased := t.share(p, r, now), false
			if d := p.detail(r); d != nil && d.doubtful(t.boundaries(p).rates[k.boundary()]) {
				mask, biased = d.hotPieces(r.turn)&r.movable, true
			}
			if mask != 0 {
				t.join(p, b, r, mask, biased)
				rates += r.est.rate()
			}
		}
	}
	for _, o := range slices.Backward(others) {
		p.doubtful = append(p.doubtful, o)
	}
	t.others = others
	if forming {
		b.search = t.searchWindow(p, k, rates/float64(max(len(b.blocks), 1)))
	}
	return t.begin(p, b, k, huge)
}

// forms tells whether strata are being looked for in a region.
func (p *process) forms(r *region) bool { return r.detail != noDetail && p.detail(r) == nil }

// searchWindow is in how many seconds a few pages of a hundred are accessed at a mean
// rate: nearly all of the hot ones, if they have most of the accesses, and hardly any
// other.
func (t *Tracker) searchWindow(p *process, k key, rate float64) float64 {
	longest := maxSearch
	if b := t.boundaries(p).rates[k.boundary()]; b > 0 {
		longest = min(longest, windowFor(b))
	}
	return min(max(searchPages/max(rate, minRate), minRung), max(longest, minRung))
}

// suits tells whether a window was about as long as the search for strata wants it.
func (t *Tracker) suits(p *process, r *region, window float64) bool {
	wanted := t.searchWindow(p, r.key, r.est.rate())
	return window < wanted*searchSlack && window > wanted/searchSlack
}

// lapTime is how many seconds a lap over a process's regions takes at least. What it costs
// the process to be looked at, flushes of the TLBs, it costs for nothing while it stays as it
// is; and the longer it has, the longer it will.
func (t *Tracker) lapTime(p *process, now float64) float64 {
	if t.stats.Bursting {
		return lapSeconds
	}
	return min(max((now-p.newsAt)/calmShare, lapSeconds), calmLap)
}

// due is when the next of so many regions have their turn, in a lap that takes so many seconds.
// They have it in parts, so that what changes is soon seen somewhere.
func (l *lap) due(regions int, seconds float64) float64 {
	if l.next >= regions {
		return l.begun + seconds
	}
	if seconds <= lapSeconds {
		return l.begun
	}
	part := lapPart(regions)
	return l.begun + seconds*float64(l.next/part*part)/float64(regions)
}

func lapPart(regions int) int { return (regions + lapParts - 1) / lapParts }

// clearKey begins the next batch of a key's lap.
func (t *Tracker) clearKey(p *process, k key, now float64) bool {
	l, seconds := &p.laps[k], t.lapTime(p, now)
	if now < l.due(len(p.regions), seconds) {
		return false
	}
	if l.next >= len(p.regions) {
		l.next = 0
	}
	if l.next == 0 {
		l.took, l.begun = now-l.begun, now
		l.skip++
	}
	end := len(p.regions)
	if seconds > lapSeconds {
		part := lapPart(end)
		end = min(end, (l.next/part+1)*part)
	}
	b, huge := t.newBatch(), false
	for range min(len(p.regions), 8192) {
		if l.next >= end || len(b.blocks) == batchRegions {
			break
		}
		r := &p.regions[interleaved(l.next, len(p.regions))]
		l.next++
		if !r.sampleable() || r.flags&policy.Unseen == 0 && (r.key != k || r.seen >= ticks(l.begun)) {
			continue
		}
		// Where strata are looked for, windows of doubt suit better.
		if p.forms(r) && r.seen.since(ticks(now)) < formSeconds {
			continue
		}
		// When the budget does not reach for all, the sure ones wait. After a phase
		// change none is sure.
		if l.took > seconds+scarceSeconds && !t.restless(now) && (r.block+l.skip)%4 != 0 && t.sure(p, r, k) {
			continue
		}
		// In a short window the one piece that is hot stands out best.
		if r.searched() && len(p.doubtful) < maxSearched {
			t.doubt(p, r, now)
			continue
		}
		mask := t.share(p, r, now)
		if r.searched() && r.movable == policy.AllPieces {
			mask = r.slice() // until there is room for it there
		}
		isHuge := r.flags&policy.Huge != 0
		if len(b.blocks) == 0 {
			huge = isHuge
		} else if isHuge != huge {
			l.next--
			break
		}
		t.join(p, b, r, mask, false)
	}
	return t.begin(p, b, k, huge)
}

// interleaved is the index of the region that has a turn in a lap: neighbours are
// used at the same time, and what one batch sees of them is luck once. A few stay
// together, because they are cheaper to clear.
func interleaved(turn, regions int) int {
	const streams, together = 16, 4
	each := regions / (streams * together) * together
	if turn >= each*streams {
		return turn
	}
	group := turn / together
	return group%streams*each + group/streams*together + turn%together
}

// join adds pieces of a region to a batch.
func (t *Tracker) join(p *process, b *batch, r *region, mask uint32, biased bool) {
	r.flags |= inFlight
	if biased {
		b.biased |= 1 << len(b.blocks)
	}
	if mask != r.movable && p.mayBeHuge(r.addr()) {
		b.unsure |= 1 << len(b.blocks)
	}
	b.blocks = append(b.blocks, r.block)
	b.pieces = append(b.pieces, mask)
}

// begin clears a batch and puts it on the list; false if it is empty.
func (t *Tracker) begin(p *process, b *batch, k key, huge bool) bool {
	if len(b.blocks) == 0 {
		t.spare = append(t.spare, b)
		return false
	}
	b.p, b.exec, b.key, b.boundary = p, p.exec, k, t.boundaries(p).rates[k.boundary()]
	err := t.sparePages(p, b)
	t.ranges = t.ranges[:0]
	for i, block := range b.blocks {
		if ri, found := slices.BinarySearchFunc(p.regions, block, byBlock); found {
			t.ranges = p.clearable(t.ranges, p.regions[ri].addr(), b.pieces[i], p.regions[ri].movable)
		}
	}
	b.from = t.o.Clock.Now()
	if err == nil {
		var cleared uint64
		cleared, err = p.space.Clear(t.ranges)
		t.stats.ClearedBytes += cleared
	}
	b.to = t.o.Clock.Now()
	if err != nil {
		p.err = err
		t.spare = append(t.spare, b)
		return true
	}
	w := t.window(p, k, huge)
	switch {
	case b.search > 0:
		w = b.search
	case b.soon && !huge:
		w = min(w, firstWindow)
	}
	b.due = b.from + w
	heap.Push(&t.waiting, b)
	return true
}

// sparePages sees to it that no huge page that one entry maps is split, which
// clearing a part of it does: of the regions that may have become huge since the
// last look, those that have are cleared as a whole.
func (t *Tracker) sparePages(p *process, b *batch) error {
	if b.unsure == 0 {
		return nil
	}
	t.addrs = t.addrs[:0]
	for i, block := range b.blocks {
		if b.unsure>>i&1 != 0 {
			t.addrs = append(t.addrs, uint64(block)*policy.RegionSize)
		}
	}
	i := -1
	_, err := p.space.Walk(t.addrs, func(_ int, found *pagetable.Block) {
		for i++; b.unsure>>i&1 == 0; i++ {
		}
		if found.Kind == pagetable.KindLeaf {
			b.pieces[i], b.biased = policy.AllPieces, b.biased&^(1<<i)
		}
	})
	return err
}

// mayBeHuge tells whether khugepaged may make a huge page of a region.
func (p *process) mayBeHuge(addr uint64) bool {
	i := p.runAt(addr)
	return i < len(p.runs) && p.runs[i].Huge
}

func (t *Tracker) newBatch() *batch {
	t.batches++
	if n := len(t.spare); n > 0 {
		b := t.spare[n-1]
		t.spare = t.spare[:n-1]
		b.blocks, b.pieces, b.biased, b.unsure, b.repeats, b.id = b.blocks[:0], b.pieces[:0], 0, 0, 0, t.batches
		b.chosen, b.soon, b.search = false, false, 0
		return b
	}
	return &batch{id: t.batches, blocks: make([]uint32, 0, batchRegions), pieces: make([]uint32, 0, batchRegions)}
}

// clearable adds the parts of a region that the next sample looks at and that
// lie in mappings that allow clearing. mask is part of movable, the pieces that
// tierd may move.
func (p *process) clearable(to []pagetable.Range, addr uint64, mask, movable uint32) []pagetable.Range {
	if mask == movable {
		mask = policy.AllPieces // their mappings say where they are, to the page
	}
	for mask != 0 {
		first := bits.TrailingZeros32(mask)
		n := bits.TrailingZeros32(^(mask >> first))
		mask &^= uint32(1<<n-1) << first
		a := addr + uint64(first)*policy.PieceSize
		to = p.within(to, a, a+uint64(n)*policy.PieceSize)
	}
	return to
}

// within adds what lies from a to end in mappings that allow clearing.
func (p *process) within(to []pagetable.Range, a, end uint64) []pagetable.Range {
	for i := p.runAt(a); i < len(p.runs) && p.runs[i].Start < end; i++ {
		if p.runs[i].Class != 0 {
			continue
		}
		part := pagetable.Range{Start: max(a, p.runs[i].Start), End: min(end, p.runs[i].End)}
		// Neighbours are cleared together: a range costs a flush of the TLBs.
		if n := len(to); n > 0 && to[n-1].End == part.Start && part.End-to[n-1].Start <= pagetable.ClearBytes {
			to[n-1].End = part.End
		} else {
			to = append(to, part)
		}
	}
	return to
}

// read ends the windows of a batch.
func (t *Tracker) read(b *batch) {
	p := b.p
	defer func() { b.p = nil; t.spare = append(t.spare, b) }()
	if p.space == nil || p.err != nil || b.exec != p.exec {
		return
	}
	t.addrs = t.addrs[:0]
	for _, block := range b.blocks {
		t.addrs = append(t.addrs, uint64(block)*policy.RegionSize)
	}
	clearing := (b.to - b.from) / float64(len(b.blocks))
	now := t.o.Clock.Now()
	t.looks, t.off = t.looks[:0], t.off[:0]
	_, err := p.space.Walk(t.addrs, func(i int, block *pagetable.Block) {
		if i%16 == 0 {
			now = t.o.Clock.Now()
		}
		ri, found := slices.BinarySearchFunc(p.regions, b.blocks[i], byBlock)
		if !found {
			return
		}
		r := &p.regions[ri]
		r.flags &^= inFlight
		switch block.Kind {
		case pagetable.KindTorn:
			t.stats.Torn++
			return
		case pagetable.KindFault:
			t.stats.Unreadable++
			return
		}
		if block.PresentPages == 0 {
			r.placed, p.gaps = [3]policy.SlotPages{}, true // dropped at the next listing
			return
		}
		s := sample{window: max(now-b.from-clearing*float64(i), minWindow/2), boundary: b.boundary, now: ticks(now), pieces: b.pieces[i], chosen: b.chosen, biased: b.biased>>i&1 != 0}
		if off, ok := r.off(block, s, p); ok {
			t.off = append(t.off, off)
		}
		t.looks = append(t.looks, look{int32(ri), *block, s})
	})
	since := now - paceSeconds
	if b.repeats > 0 {
		since = b.since
	}
	v := p.pace.judge(t.off, now, since, b.id)
	if v.news {
		p.newsAt = now
	} else {
		p.postponed = 0
	}
	if v.news && err == nil && p.space.ExecID() == p.exec && t.ask(p, b, v, now) {
		return
	}
	p.surprises = 0
	for i := range t.looks {
		l := &t.looks[i]
		l.s.window, l.s.noise = l.s.window*v.pace, v.noise
		t.take(p, &p.regions[l.region], &l.block, l.s, now)
	}
	if p.surprises >= newsRegions {
		p.newsAt = now
	}
	t.check(p, err)
	if p.err == nil && !p.sampled {
		// Not earlier: a process that cannot be sampled is tried again and again.
		p.sampled = true
		t.startBurst(now)
		t.startUntil = t.burstUntil
	}
	t.phase(now)
}

// ask sees to it that what a batch has seen as news is looked at again, and tells
// whether it does.
func (t *Tracker) ask(p *process, b *batch, v verdict, now float64) bool {
	switch {
	case v.hotter && (b.repeats == 0 || v.alone && b.repeats < maxRepeats):
		// A process that waits does not do that. The next look says whether it was a
		// moment.
		for i := range t.looks {
			l := &t.looks[i]
			t.take(p, &p.regions[l.region], &l.block, l.s, now)
		}
		t.repeat(b, now, true)
		t.hurry(p, now)
	case !v.hotter && v.alone && p.postponed < maxRepeats:
		// What others see decides whether the process waits: let them have their turn.
		p.postponed++
		for i := range t.looks {
			t.doubt(p, &p.regions[t.looks[i].region], now+evidenceSeconds)
		}
	case !v.hotter && !v.alone && !b.chosen:
		t.repeat(b, now, false)
	default:
		return false
	}
	return true
}

// hurry ends the windows of a process that are longer than those of memory that has
// just become hotter.
func (t *Tracker) hurry(p *process, now float64) {
	cut := false
	for _, b := range t.waiting {
		if b.p == p && b.due > now+firstWindow {
			b.due, cut = max(now, b.from+firstWindow), true
		}
	}
	if cut {
		heap.Init(&t.waiting)
	}
}

// repeat looks at the regions of a batch once more: all at once they have become
// others, or the process has paused. Where they are hotter than they were known to be
// the window that suited what was known is too long.
func (t *Tracker) repeat(b *batch, now float64, hotter bool) {
	c, huge := t.newBatch(), false
	for i, block := range b.blocks {
		if ri, found := slices.BinarySearchFunc(b.p.regions, block, byBlock); found && b.p.regions[ri].sampleable() {
			r := &b.p.regions[ri]
			huge = huge || r.flags&policy.Huge != 0
			t.join(b.p, c, r, b.pieces[i]&r.movable, b.biased>>i&1 != 0)
		}
	}
	c.id, c.chosen, c.soon = b.id, true, hotter
	if c.repeats, c.since = b.repeats+1, b.since; b.repeats == 0 {
		c.since = now
	}
	t.begin(b.p, c, b.key, huge)
}

// take joins a sample to what is known of its region.
func (t *Tracker) take(p *process, r *region, b *pagetable.Block, s sample, now float64) {
	before := r.placed
	t.learnOf(p, r, b, s, now)
	t.watchRival(p, r, before, s.now)
}

func (t *Tracker) learnOf(p *process, r *region, b *pagetable.Block, s sample, now float64) {
	t.stats.Samples++
	dt := r.seen.since(s.now)
	if s.fresh = r.noted.since(s.now) >= evidenceSeconds || r.flags&policy.Unseen != 0; s.fresh {
		r.noted = s.now
	}
	if r.detail != noDetail && b.Kind == pagetable.KindLeaf { // it was made huge meanwhile
		p.freeDetail(r)
		r.est.vari = unknownVar
	}
	if p.detail(r) != nil {
		t.refine(p, r, b, s, dt, now)
		return
	}
	if s.biased {
		r.place(b)
		return
	}
	t.recent++
	searched := r.searched() && t.searches(r)
	last, first := r.seen, r.flags&policy.Unseen != 0 || searched
	seen, young := counts(b, s.pieces)
	if !s.chosen && p.steps.searches() {
		if x := r.surprise(b, s); x != 0 {
			p.stir(r.block, now, x)
		}
	}
	v := r.update(b, s)
	t.learn(last, first || v != same || r.detail != noDetail || seen > 0 && r.probable(s.boundary))
	p.gaps = p.gaps || r.Pages() == 0
	if v == changed {
		t.recentChanged++
	}
	if v == doubtful || v == changed {
		t.stats.Disagreed++
		p.surprises++
	}
	if !s.chosen {
		p.lookedAt(r.block, now, s.window)
	}
	if (v == denied || v == changed) && r.moment > 0 {
		p.sawTurn(r.block, now, r.moment, v == changed)
		r.moment = 0
	}
	r.key = t.keyOf(p, r)
	r.disperse(b, s)
	if r.detail == noDetail && (searched || r.skew > partialSkew) && s.pieces == r.movable && tellsApart(b, seen, young) {
		t.giveDetail(p, r)
		if r.detail != noDetail && r.moved != 0 && r.moved.since(s.now) <= togetherSeconds {
			p.pages[r.detail].goes(policy.AllPages(), r.flags&policy.MovedUp != 0)
		}
	}
	if searched && r.turn == wholeTurn+1 && (s.pieces != r.movable || r.detail == noDetail && !t.suits(p, r, s.window)) {
		r.turn-- // a part, or in a window that finds nothing: it is still to be done
	}
	if r.detail != noDetail {
		t.form(p, r, b, s, dt)
	}
	if r.detail != noDetail || seen > 0 && (v != same || r.probable(s.boundary)) {
		t.doubt(p, r, now+evidenceSeconds)
	}
	if r.evidence&1 != 0 && (v == doubtful || r.changed.since(s.now) < growSeconds) {
		t.grow(p, r, s.boundary, now)
	}
}

// searches tells whether to look for strata in a region, given how many had some
// lately.
func (t *Tracker) searches(r *region) bool {
	return t.yield > leastYield || (r.block+uint32(r.turn/wholeEvery))%rareSearch == 0
}

// form looks for strata in a region of which it is not known yet whether it has any.
func (t *Tracker) form(p *process, r *region, b *pagetable.Block, s sample, dt float64) {
	d := &p.pages[r.detail]
	if n, k := counts(b, s.pieces); s.pieces != r.movable || float64(k) > mostRest*float64(n) && !r.scattered() {
		return // it was under way, or says nothing of single pages
	}
	if d.samples == 1 {
		odd := d.odd(b)
		if t.yield *= 1 - yieldPart; odd {
			t.yield += yieldPart
		}
		if !odd && !r.scattered() {
			p.freeDetail(r)
			r.skew = 1 // by chance
			return
		}
	}
	d.update(b, r.movable, s, dt)
	if d.known() {
		r.est, r.key = d.mean(), t.keyOf(p, r)
		d.portions(&p.details[r.detail])
	}
}

// refine joins a sample to a region that is known stratum by stratum.
func (t *Tracker) refine(p *process, r *region, b *pagetable.Block, s sample, dt, now float64) {
	d := &p.pages[r.detail]
	r.place(b)
	p.gaps = p.gaps || r.Pages() == 0
	anew, others := d.update(b, r.movable, s, dt)
	if others {
		d.stale = true
	}
	d.portions(&p.details[r.detail])
	t.learn(r.seen, anew || others || d.doubtful(s.boundary) || d.samples <= settledSamples)
	if anew || d.doubtful(s.boundary) {
		t.doubt(p, r, now+evidenceSeconds)
	}
	if s.biased {
		return
	}
	t.recent++
	if anew {
		r.changed = s.now
		t.recentChanged++
		p.surprises++
	}
	if !s.chosen {
		p.lookedAt(r.block, now, s.window)
	}
	r.turn++
	r.seen, r.flags = s.now, r.flags&^doubted
	if d.known() {
		r.est = d.mean()
	}
	hot := uint8(0)
	if r.est.rate() > s.boundary {
		hot = 1
	}
	r.evidence = s.note(r.evidence, hot, false)
	r.key = t.keyOf(p, r)
	if d.alike() && !r.scattered() {
		p.freeDetail(r)
		r.skew = 1
	}
}

// grow doubts the regions that come next where a stretch of hot memory grows: r has
// become hot beside two that are.
func (t *Tracker) grow(p *process, r *region, boundary, now float64) {
	i, found := slices.BinarySearchFunc(p.regions, r.block, byBlock)
	if !found {
		return
	}
	hot := func(j int, block uint32) bool {
		return j >= 0 && j < len(p.regions) && p.regions[j].block == block && probablyAbove(p.regions[j].est.rate(), boundary, p.regions[j].est.vari)
	}
	for _, ahead := range [...]int{1, -1} {
		if !hot(i-ahead, r.block-uint32(ahead)) || !hot(i-2*ahead, r.block-uint32(2*ahead)) {
			continue
		}
		for j, n := i+ahead, 0; n < growRegions && j >= 0 && j < len(p.regions); j, n = j+ahead, n+1 {
			if next := &p.regions[j]; next.sampleable() && next.seen.since(ticks(now)) > evidenceSeconds/2 {
				t.doubt(p, next, now)
			}
		}
	}
}

// doubt puts a region on the list of those that need another sample, not before a
// time.
func (t *Tracker) doubt(p *process, r *region, due float64) {
	if len(p.doubtful) >= maxDoubtful {
		return
	}
	i := len(p.doubtful)
	for i > 0 && p.doubtful[i-1].due < due {
		i--
	}
	p.doubtful = slices.Insert(p.doubtful, i, doubt{r.block, due})
}

// phase notices that many regions changed at once. Then what was hot until
// now is looked at first: it is what has to make room.
func (t *Tracker) phase(now float64) {
	if t.recent > 256 {
		t.recent, t.recentChanged = t.recent/2, t.recentChanged/2
	}
	if t.recent < 64 || t.recentChanged < t.recent*phaseShare {
		return
	}
	if now > t.burstAt+phaseSeconds {
		for _, p := range t.procs {
			for i := range p.regions {
				r := &p.regions[i]
				if r.key.rung() >= doubtRung && r.sampleable() {
					t.doubt(p, r, now)
				}
			}
		}
	}
	t.phaseAt = now
	t.startBurst(now)
}

// SincePhase is how many seconds ago the memory in use last changed as a whole;
// +Inf if it never did.
func (t *Tracker) SincePhase() float64 {
	if t.phaseAt == 0 {
		return math.Inf(1)
	}
	return t.o.Clock.Now() - t.phaseAt
}

func (t *Tracker) startBurst(now float64) {
	t.burstAt, t.burstUntil = now, now+BurstSeconds
	t.taught, t.restUntil = 1, 0
}

// learn notes a sample of a region that was last looked at at a time, and whether it
// said more than that had.
func (t *Tracker) learn(last tick, news bool) {
	x := 0.0
	if news || last < ticks(t.burstAt) {
		x = 1
	}
	t.taught += (x - t.taught) / learntSamples
}

// giveDetail begins to look at the pages of a region, if there is memory for it.
func (t *Tracker) giveDetail(p *process, r *region) {
	if len(p.free) == 0 && len(p.details) == cap(p.details) {
		held := 0
		for _, p := range t.procs {
			held += cap(p.details)
		}
		room := t.o.DetailBytes/int(unsafe.Sizeof(policy.Detail{})+unsafe.Sizeof(detail{})) - held
		switch {
		case room > 0:
			more := min(room, max(16, cap(p.details)/2))
			p.details = append(make([]policy.Detail, 0, cap(p.details)+more), p.details...)
			p.pages = append(make([]detail, 0, cap(p.details)), p.pages...)
		case !p.yields(r):
			t.stats.DetailsRefused++
			return
		}
	}
	if n := len(p.free); n > 0 {
		r.detail, p.free = p.free[n-1], p.free[:n-1]
		p.details[r.detail], p.pages[r.detail] = policy.Detail{}, newDetail(r.block)
		return
	}
	r.detail = int32(len(p.details))
	p.details = append(p.details, policy.Detail{})
	p.pages = append(p.pages, newDetail(r.block))
}

// yields frees the detail of a region that gains far less by it than another one may,
// if a look at some finds one. What lies on two nodes keeps it: nothing else knows
// where its pages are.
func (p *process) yields(to *region) bool {
	worth := to.est.rate() * float64(to.Pages()) / farMore
	for range min(yieldLooks, len(p.pages)) {
		p.looked = (p.looked + 1) % len(p.pages)
		d := &p.pages[p.looked]
		i, found := slices.BinarySearchFunc(p.regions, d.block, byBlock)
		if !found {
			continue
		}
		if r := &p.regions[i]; r.detail == int32(p.looked) && d.known() && !r.scattered() && d.gain() < worth {
			p.freeDetail(r)
			return true
		}
	}
	return false
}

func (p *process) freeDetail(r *region) {
	if r.detail != noDetail {
		p.free = append(p.free, r.detail)
		r.detail = noDetail
	}
}

// detail is what is known of a region stratum by stratum; nil if nothing is.
func (p *process) detail(r *region) *detail {
	if r.detail == noDetail || !p.pages[r.detail].known() {
		return nil
	}
	return &p.pages[r.detail]
}

// restless tells whether a phase change was not long ago: no region is sure then.
func (t *Tracker) restless(now float64) bool {
	return t.phaseAt != 0 && now-t.phaseAt <= phaseSeconds
}

// share is the mask of the pieces of a region that the next sample looks at.
func (t *Tracker) share(p *process, r *region, now float64) uint32 {
	if d := p.detail(r); d != nil && d.settled() && !t.restless(now) && r.movable == policy.AllPieces {
		return slice(r.turn)
	}
	return r.share()
}

// tellsApart tells whether a sample of so many pages, some of them accessed, can say
// something about single ones.
func tellsApart(b *pagetable.Block, n, k int) bool {
	return b.Kind == pagetable.KindTable && k >= 4 && float64(k) <= mostRest*float64(n)
}

// Moved notes the outcome of a move: which of its pages are on the target now.
func (t *Tracker) Moved(m *policy.Move, there policy.PageSet) {
	p := t.find(m.ID)
	if p == nil {
		return
	}
	i, found := slices.BinarySearchFunc(p.regions, uint32(m.Addr/policy.RegionSize), byBlock)
	if !found {
		return
	}
	t.moves++
	r := &p.regions[i]
	now := max(ticks(t.o.Clock.Now()), 1)
	long := r.moved == 0 || r.moved.since(now) > togetherSeconds
	r.moved = now
	if m.Kind == policy.Promotion {
		r.flags |= policy.MovedUp
	} else {
		r.flags &^= policy.MovedUp
	}
	pages := there.Count()
	if pages == 0 {
		return
	}
	r.shift(m.From, m.To, pages)
	if r.detail != noDetail {
		d := &p.pages[r.detail]
		if long {
			d.moved = policy.PageSet{}
		}
		d.goes(there, m.Kind == policy.Promotion)
		d.lie(there, d.index(m.To))
		if d.known() {
			d.portions(&p.details[r.detail])
		}
	}
}

// Split takes huge pages to be split in place, so that their parts can be told apart:
// one after the other, within the budget. The next samples show whether they were.
// Beyond maxSplits that wait the others are left out.
func (t *Tracker) Split(list []policy.Split) {
	t.splits = append(t.splits, list[:min(len(list), maxSplits-len(t.splits))]...)
}

// split splits the next page that waits for it, if it is still a huge page and tierd may
// move all of it. MADV_COLD splits what it covers a part of
// (madvise_cold_or_pageout_pte_range in mm/madvise.c), unless it is mapped twice.
func (t *Tracker) split(now float64) {
	s := t.splits[0]
	t.splits = t.splits[:copy(t.splits, t.splits[1:])]
	p := t.find(s.ID)
	if p == nil || p.err != nil {
		return
	}
	i, found := slices.BinarySearchFunc(p.regions, uint32(s.Addr/policy.RegionSize), byBlock)
	if !found {
		return
	}
	r := &p.regions[i]
	if r.flags&(policy.Huge|policy.Shared|policy.Bound|policy.Immovable) != policy.Huge || r.movable != policy.AllPieces {
		return
	}
	if _, p.err = p.space.Clear([]pagetable.Range{{Start: s.Addr, End: s.Addr + policy.PageSize}}); p.err == nil {
		t.doubt(p, r, now)
	}
}

// Movable returns the pages that a move asks for, as they are known now, and that
// tierd may move; none if it is out of date.
func (t *Tracker) Movable(m *policy.Move) (set policy.PageSet) {
	p := t.find(m.ID)
	if p == nil {
		return set
	}
	i, found := slices.BinarySearchFunc(p.regions, uint32(m.Addr/policy.RegionSize), byBlock)
	if !found {
		return set
	}
	r := &p.regions[i]
	if m.Strata == policy.AllStrata {
		return policy.PagesOf(r.movable)
	}
	d := p.detail(r)
	if d == nil || d.stale {
		return set
	}
	from := d.index(m.From)
	on, unknown := d.on(from), d.on(unknownNode)
	for s := range d.strata {
		if m.Strata>>s&1 != 0 {
			pages := d.set(s)
			for w := range set {
				set[w] |= pages[w] & (on[w] | unknown[w])
			}
		}
	}
	return set
}

// Snapshot describes all processes for the policy. The result belongs to the
// caller until the next call.
func (t *Tracker) Snapshot() []policy.Process {
	seconds := t.o.Clock.Now()
	now := ticks(seconds)
	if cap(t.snap) < len(t.procs) {
		t.snap = append(make([]policy.Process, 0, len(t.procs)), t.snap[:cap(t.snap)]...)
	}
	t.snap = t.snap[:len(t.procs)]
	for i, p := range t.procs {
		s := &t.snap[i]
		s.ID, s.Workload, s.Enforce, s.Details = p.id, p.workload, p.enforce, p.details
		s.Period = p.steps.period()
		s.Regions = slices.Grow(s.Regions[:0], len(p.regions))
		at, rate, variance := -1, 0.0, 0.0 // of the extent
		for j := range p.regions {
			r := &p.regions[j]
			for id := r.block / extentRegions; at+1 < len(p.extents) && p.extents[at+1].id <= id; {
				if at++; p.extents[at].id == id {
					rate, variance = moments(p.extents, at, seconds)
				}
			}
			q := policy.Region{
				Addr: r.addr(), Rate: coarse(float32(r.est.rate()), rateBits), LogVar: driftSteps(r.est.vari, uint32(now-r.seen)),
				Stable: float32(r.changed.since(now)), SinceMove: float32(math.Inf(1)),
				Placement: r.placed, Evidence: r.evidence, Flags: r.flags &^ (inFlight | doubted), Detail: noDetail,
			}
			if d := p.detail(r); d != nil {
				q.Detail, d.stale = r.detail, false
			} else if at >= 0 && p.extents[at].id == r.block/extentRegions {
				inTurn := p.extents[at].inTurn(&q, r.changed.since(r.seen), rate, s.Period, seconds)
				if joinMoments(&q, rate, variance, inTurn) && s.Period > 0 {
					q.Flags |= policy.Periodic
				}
			}
			if p.shared && r.movable != 0 {
				q.Flags &^= policy.Shared
			}
			if len(p.rivals) > 0 && p.taken(r.block, now) {
				q.Flags |= policy.Rival
			}
			if r.moved != 0 {
				q.SinceMove = float32(r.moved.since(now))
			}
			s.Regions = append(s.Regions, q)
		}
	}
	return t.snap
}
