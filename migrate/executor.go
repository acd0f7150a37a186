package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
)

const (
	// sentinel is a status that the kernel never writes.
	sentinel = math.MinInt32
	// Bounds of a batch, in pages of policy.PageSize, and where it starts.
	minBatch, maxBatch, firstBatch = 64, 4096, 512
	// maxRounds bounds the calls for one batch whose groups fail one by one.
	maxRounds = 8
	// stale is for how long the answer of a query is acted upon.
	stale = 50 * time.Millisecond
	// defaultLatency is the longest that one call should take.
	defaultLatency = 20 * time.Millisecond
	// defaultCost is the assumed cost of a page before any was moved, in seconds.
	defaultCost = 2e-6
	// costMemory is over how many pages the measured cost is averaged, costAge for
	// how long one is believed when nothing moves: what holds all moves back would
	// never be measured again.
	costMemory = 16 << 10
	costAge    = 2 * time.Minute
	// costDoubt is the weight, in pages, of the assumed cost. The first call is often
	// small, and slow for reasons of its own.
	costDoubt = 512
)

// Why a move was not tried.
var (
	// ErrHeld: the kernel refused it before, and it is too early to try again.
	ErrHeld = errors.New("held back after refusals")
	// ErrPlan: the move makes no sense on this machine.
	ErrPlan = errors.New("plan does not fit the machine")
)

// Identity knows whether a process is still the one that was planned for;
// *process.Handle does. Check returns nil, or an error that wraps
// process.ErrGone, process.ErrExec or process.ErrReused.
type Identity interface {
	ID() policy.ProcessID
	Check() error
}

// Room says how many more bytes may be put on a node: its free memory without the
// reserve, as it is now.
type Room interface {
	Room(policy.NodeID) (uint64, error)
}

// Target is the process whose memory is moved.
type Target struct {
	Identity Identity
	// Shared allows moving pages that other processes map, too.
	Shared bool
}

// Config is what an Executor needs to know.
type Config struct {
	// Pager carries out; nil means Kernel.
	Pager Pager
	// Observe puts a Recorder before the Pager: nothing is moved, all else is as
	// it would be.
	Observe bool
	// Nodes translates the slots of moves.
	Nodes []policy.NodeID
	Room  Room
	// Rate is the most bytes per second, in both directions together; 0 means no
	// limit.
	Rate uint64
	// BatchLatency is how long one call should take at most; 0 means 20 ms.
	BatchLatency time.Duration
	// PageSize is the machine's, in bytes; 0 means the running machine's.
	PageSize int
	// Refusals remembers what not to try; nil means a new one.
	Refusals *Refusals
}

// Stats count what an Executor has done.
type Stats struct {
	// Calls that move, and the time spent in them.
	Calls    uint64
	CallTime time.Duration
	// Slow is how many of them took longer than BatchLatency.
	Slow uint64
	// Queries of where pages are.
	Queries uint64
	// Waited is the time spent waiting for the rate limit.
	Waited time.Duration
	// Batch is the present size of a batch, in pages of policy.PageSize.
	Batch int
}

// Executor carries out moves. It belongs to one goroutine.
type Executor struct {
	pager    Pager
	recorder *Recorder
	nodes    []policy.NodeID
	room     Room
	latency  time.Duration
	pageSize int
	refusals *Refusals

	pace  pacer
	batch float64
	// costTime and costPages are of recent calls that moved, up to costAt, fading.
	costTime, costPages float64
	costAt              time.Time
	stats               Stats
	// pretended is, in observe mode, by how much recorded moves would have changed
	// the room of each node since Begin.
	pretended map[policy.NodeID]int64

	// Buffers, reused.
	units  []unit
	left   []unit
	addrs  []uintptr
	nodeOf []int32
	status []int32
	truth  []int32
}

// unit is one address of a batch.
type unit struct {
	addr  uintptr
	move  int32 // index of its move
	pages int32 // of policy.PageSize
}

// New returns an Executor. The rate limit counts from now.
func New(c Config) *Executor {
	e := &Executor{
		pager:    c.Pager,
		room:     c.Room,
		pageSize: c.PageSize,
		refusals: c.Refusals,
		batch:    firstBatch,
		nodes:    c.Nodes,
	}
	if e.pager == nil {
		e.pager = Kernel{}
	}
	if c.Observe {
		e.recorder = &Recorder{Pager: e.pager}
		e.pager = e.recorder
		e.pretended = map[policy.NodeID]int64{}
	}
	if e.pageSize == 0 {
		e.pageSize = os.Getpagesize()
	}
	if e.refusals == nil {
		e.refusals = NewRefusals(0)
	}
	e.pace.next = time.Now()
	e.SetRate(c.Rate)
	e.SetBatchLatency(c.BatchLatency)
	return e
}

// SetRate changes the rate limit; 0 means none.
func (e *Executor) SetRate(bytesPerSecond uint64) { e.pace.rate = float64(bytesPerSecond) }

// SetBatchLatency changes how long one call should take; 0 means 20 ms.
func (e *Executor) SetBatchLatency(d time.Duration) {
	if d <= 0 {
		d = defaultLatency
	}
	e.latency = d
}

// SetNodes changes what the slots mean, after the machine's nodes have changed.
func (e *Executor) SetNodes(nodes []policy.NodeID) { e.nodes = nodes }

// Begin starts a new plan. Observe mode forgets what the moves of the last one would
// have done to the room of the nodes, since the snapshot of the new plan does not
// know of it.
func (e *Executor) Begin() { clear(e.pretended) }

// Observes says whether moves are only recorded.
func (e *Executor) Observes() bool { return e.recorder != nil }

// Refusals is what the executor remembers not to try.
func (e *Executor) Refusals() *Refusals { return e.refusals }

// Stats returns what was done so far.
func (e *Executor) Stats() Stats {
	s := e.stats
	s.Batch = int(e.batch)
	return s
}

// CostPerPage is what moving one page has cost lately, in seconds of the calls that
// move; 2 µs before anything was moved. In observe mode nothing is learnt.
func (e *Executor) CostPerPage() float64 {
	e.fade(time.Now())
	return e.costTime / e.costPages
}

// fade goes back to what is assumed, as what moving cost gets old.
func (e *Executor) fade(now time.Time) {
	keep := math.Exp(-max(now.Sub(e.costAt), 0).Seconds() / costAge.Seconds())
	e.costTime = e.costTime*keep + costDoubt*defaultCost*(1-keep)
	e.costPages = e.costPages*keep + costDoubt*(1-keep)
	e.costAt = now
}

// Probe finds out whether move_pages works here at all. It moves nothing.
func (e *Executor) Probe() error { return Probe(e.pager) }

// Runs splits the moves of a plan into the longest runs of one process each, in
// order.
func Runs(moves []policy.Move) iter.Seq[[]policy.Move] {
	return func(yield func([]policy.Move) bool) {
		for len(moves) > 0 {
			n := 1
			for n < len(moves) && moves[n].ID == moves[0].ID {
				n++
			}
			if !yield(moves[:n:n]) {
				return
			}
			moves = moves[n:]
		}
	}
}

// Move carries out moves of one process in their order and returns an outcome for
// each. It stops between two batches when ctx ends, and does not wait for the rate
// limit beyond the deadline of ctx.
func (e *Executor) Move(ctx context.Context, t Target, moves []policy.Move) []Outcome {
	r := run{
		Executor: e, ctx: ctx, target: t, id: t.Identity.ID(), moves: moves,
		out:     make([]Outcome, len(moves)),
		flags:   MoveOwn,
		blocked: map[policy.Slot]error{},
	}
	if t.Shared {
		r.flags = MoveOwn | MoveAll
	}
	for i := range moves {
		r.out[i].Pages = Requested(&moves[i])
	}
	r.all()
	now := time.Now()
	for i := range moves {
		o := &r.out[i]
		rest := o.Pages
		for _, n := range o.ByResult {
			rest -= n
		}
		o.ByResult[Unattempted] += rest
		o.Moved = o.ByResult[Moved]
		o.Bytes = uint64(o.Moved) * policy.PageSize
		if rest < o.Pages {
			e.refusals.Record(now, &moves[i], o)
		}
	}
	return r.out
}

// run is the work of one call of Move.
type run struct {
	*Executor
	ctx    context.Context
	target Target
	id     policy.ProcessID
	moves  []policy.Move
	out    []Outcome
	flags  Flags
	// blocked are the targets that no further move can reach.
	blocked map[policy.Slot]error
	// next and page say which move, and which page of its region, comes next.
	next, page int
	// moved counts the pages of the present call.
	moved int
}

// all carries out everything, batch by batch.
func (r *run) all() {
	for r.next < len(r.moves) {
		if r.ctx.Err() != nil {
			return
		}
		if r.page == 0 && !r.admit(r.next) {
			r.next++
			continue
		}
		if err := r.blocked[r.moves[r.next].To]; err != nil {
			// By the first part of the same move.
			r.fail(r.next, err)
			r.next, r.page = r.next+1, 0
			continue
		}
		r.fill()
		if err := r.carry(); err != nil {
			r.explainRest(err)
			return
		}
	}
}

var errStopped = errors.New("stopped")

// explainRest gives the error that ended the run to the moves that were not tried.
func (r *run) explainRest(err error) {
	if errors.Is(err, errStopped) {
		return
	}
	for i := range r.out {
		o := &r.out[i]
		sum := 0
		for _, n := range o.ByResult {
			sum += n
		}
		if sum < o.Pages {
			r.fail(i, err)
		}
	}
}

func (r *run) fail(move int, err error) {
	if r.out[move].Err == nil {
		r.out[move].Err = err
	}
}

func (r *run) count(u unit, result Result) { r.out[u.move].ByResult[result] += int(u.pages) }

// arrived notes that a unit is on the target.
func (r *run) arrived(u unit) {
	o, m := &r.out[u.move], &r.moves[u.move]
	if u.pages == policy.PagesPerRegion {
		o.There = policy.AllPages()
		return
	}
	first := int(uint64(u.addr)-m.Addr) / policy.PageSize
	for p := first; p < first+max(1, r.pageSize/policy.PageSize); p++ {
		o.There.Add(p)
	}
}

// node is the kernel's number of a slot.
func (r *run) node(s policy.Slot) (policy.NodeID, bool) {
	if int(s) >= len(r.nodes) {
		return -1, false
	}
	return r.nodes[s], true
}

// admit says whether a move may be tried at all, and counts it if not.
func (r *run) admit(i int) bool {
	m := &r.moves[i]
	refuse := func(result Result, err error) bool {
		if result != Unattempted {
			r.out[i].ByResult[result] += r.out[i].Pages
		}
		r.fail(i, err)
		return false
	}
	to, ok := r.node(m.To)
	from, ok2 := r.node(m.From)
	if !ok || !ok2 || from == to || m.Addr%policy.RegionSize != 0 || uint64(uintptr(m.Addr)) != m.Addr {
		return refuse(Other, fmt.Errorf("region %#x, slot %d to slot %d: %w", m.Addr, m.From, m.To, ErrPlan))
	}
	if m.ID != r.id {
		result, what := Reused, "another process"
		if m.ID.PID == r.id.PID && m.ID.Start == r.id.Start {
			result, what = Exec, "what it ran before an execve"
		}
		return refuse(result, fmt.Errorf("process %d: move was planned for %s", r.id.PID, what))
	}
	if err := r.blocked[m.To]; err != nil {
		if errorResult(err) == Denied {
			return refuse(Denied, err)
		}
		return refuse(Unattempted, err)
	}
	now := time.Now()
	if r.refusals.Denied(now, r.id, m.To) {
		return refuse(Denied, &Error{PID: r.id.PID, Node: to, Result: Denied, Err: unix.EACCES})
	}
	if !r.refusals.Allowed(now, r.id, m.Addr, m.From) {
		return refuse(Unattempted, ErrHeld)
	}
	return r.out[i].Pages > 0
}

func errorResult(err error) Result {
	var e *Error
	if errors.As(err, &e) {
		return e.Result
	}
	return Other
}

// limit is how many pages a batch may have: what the latency allows, and under a low
// rate what the rate allows in that time.
func (r *run) limit() int {
	n := int(r.batch)
	if r.pace.rate > 0 {
		byRate := r.pace.rate * r.latency.Seconds() / policy.PageSize
		n = min(n, max(minBatch, int(min(byRate, maxBatch))))
	}
	return n
}

// fill takes units of the next moves that have the same target.
func (r *run) fill() {
	r.units = r.units[:0]
	limit, pages := r.limit(), 0
	step := max(1, r.pageSize/policy.PageSize)
	to := r.moves[r.next].To
	for r.next < len(r.moves) {
		m := &r.moves[r.next]
		if m.To != to {
			return
		}
		if r.page == 0 && len(r.units) > 0 && !r.admit(r.next) {
			r.next++
			continue
		}
		if m.Huge {
			if pages > 0 && pages+policy.PagesPerRegion > limit {
				return
			}
			r.units = append(r.units, unit{uintptr(m.Addr), int32(r.next), policy.PagesPerRegion})
			pages += policy.PagesPerRegion
			r.next++
			continue
		}
		for ; r.page < policy.PagesPerRegion; r.page += step {
			// A page of the machine that is larger is asked for as a whole, if any
			// of it is wanted.
			in := 0
			for p := r.page; p < r.page+step; p++ {
				if m.Set.Has(p) {
					in++
				}
			}
			if in == 0 {
				continue
			}
			if pages+in > limit && pages > 0 {
				return
			}
			r.units = append(r.units, unit{uintptr(m.Addr) + uintptr(r.page)*policy.PageSize, int32(r.next), int32(in)})
			pages += in
		}
		r.next, r.page = r.next+1, 0
	}
}

// carry brings one batch to its end. It returns an error when nothing more can be
// done for the process.
func (r *run) carry() error {
	to := r.moves[r.units[0].move].To
	node, _ := r.node(to)
	var bytes int
	for {
		if err := r.look(node); err != nil {
			return err
		}
		if len(r.units) == 0 {
			return nil
		}
		if err := r.trim(node); err != nil {
			r.blocked[to] = err
			for _, u := range r.units {
				r.fail(int(u.move), err)
			}
			return nil
		}
		if bytes = sum(r.units) * policy.PageSize; bytes == 0 {
			return nil
		}
		wait := r.pace.wait(time.Now(), bytes)
		if wait == 0 {
			break
		}
		if !r.sleep(wait) {
			return errStopped
		}
		if wait < stale {
			if err := r.check(node); err != nil {
				return err
			}
			break
		}
		// So much can have changed in this time that a new look is due.
	}
	slices.SortFunc(r.units, func(a, b unit) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.move, b.move))
	})
	r.dedupe()
	r.pace.begin(time.Now(), bytes)
	defer func() { r.pace.end(time.Now()) }()
	for round := 0; len(r.units) > 0 && round < maxRounds; round++ {
		if round > 0 && r.ctx.Err() != nil {
			return errStopped
		}
		if err := r.call(to, node); err != nil {
			return err
		}
		if r.blocked[to] != nil {
			return nil
		}
	}
	return nil
}

func sum(units []unit) (pages int) {
	for _, u := range units {
		pages += int(u.pages)
	}
	return pages
}

// dedupe drops addresses that the batch holds twice; units are sorted.
func (r *run) dedupe() {
	keep := r.units[:0]
	for _, u := range r.units {
		if n := len(keep); n > 0 && keep[n-1].addr == u.addr {
			r.count(u, Already) // by the other
			continue
		}
		keep = append(keep, u)
	}
	r.units = keep
}

// sleep waits for the rate limit. It returns false when the context ends before.
func (r *run) sleep(d time.Duration) bool {
	if deadline, ok := r.ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	start := time.Now()
	defer func() { r.stats.Waited += time.Since(start) }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// check verifies the identity, and gives up the batch in hand if it is lost.
func (r *run) check(node policy.NodeID) error {
	err := r.target.Identity.Check()
	if err == nil {
		return nil
	}
	return r.giveUp(node, ofCheck(err), err)
}

// giveUp counts all units in hand with one result and returns the explained error.
func (r *run) giveUp(node policy.NodeID, result Result, err error) error {
	e := &Error{PID: r.id.PID, Node: node, Result: result, Err: err}
	for _, u := range r.units {
		r.count(u, result)
		r.fail(int(u.move), e)
	}
	r.units = r.units[:0]
	return e
}

// look asks where the pages are, and keeps those that are where the plan saw them.
func (r *run) look(node policy.NodeID) error {
	r.addrs = r.addrs[:0]
	for _, u := range r.units {
		r.addrs = append(r.addrs, u.addr)
	}
	for _, u := range r.units {
		if r.huge(u) {
			r.addrs = append(r.addrs, r.last(u))
		}
	}
	err := r.query(&r.status)
	// Before the answers are believed: those of another program mean nothing.
	if err := r.check(node); err != nil {
		return err
	}
	if err != nil {
		return r.giveUp(node, ofCall(err), err)
	}
	r.left = r.left[:0]
	keep, last := r.units[:0], len(r.units)
	for i, u := range r.units {
		st := r.status[i]
		if r.huge(u) {
			if last++; r.status[last-1] != st {
				// No longer one huge page: look at each of its pages.
				step := max(1, r.pageSize/policy.PageSize)
				for p := 0; p < policy.PagesPerRegion; p += step {
					r.left = append(r.left, unit{u.addr + uintptr(p)*policy.PageSize, u.move, int32(step)})
				}
				continue
			}
		}
		from, _ := r.node(r.moves[u.move].From)
		switch {
		case st == int32(from):
			keep = append(keep, u)
		case st == int32(node):
			r.count(u, Already)
			r.arrived(u)
		case st >= 0:
			r.count(u, Elsewhere)
		default:
			r.refused(u, node, ofPage(errnoOf(st)), errnoOf(st))
		}
	}
	r.units = keep
	if len(r.left) == 0 {
		return nil
	}
	// What was kept is asked about again, which is rare. A huge page that splits
	// meanwhile makes one more round; each leaves fewer of them.
	r.units = append(r.units, r.left...)
	return r.look(node)
}

func errnoOf(status int32) unix.Errno {
	if status == sentinel {
		return unix.EIO // the kernel gave no answer for the page
	}
	return unix.Errno(-status)
}

// refused counts one unit, and keeps the error where it is one.
func (r *run) refused(u unit, node policy.NodeID, result Result, err error) {
	r.count(u, result)
	switch result {
	case Moved, Already, Absent, Elsewhere, Busy, NoRoom, Unattempted:
	default:
		if r.out[u.move].Err == nil {
			r.fail(int(u.move), &Error{PID: r.id.PID, Node: node, Result: result, Err: err})
		}
	}
}

// query asks about r.addrs.
func (r *run) query(status *[]int32) error {
	*status = (*status)[:0]
	for range r.addrs {
		*status = append(*status, sentinel)
	}
	r.stats.Queries++
	return r.pager.Query(r.id.PID, r.addrs, *status)
}

// trim drops the units for which the target has no room, the last of the plan first.
func (r *run) trim(node policy.NodeID) error {
	room, err := r.room.Room(node)
	if err != nil {
		return fmt.Errorf("node%d: room: %w", node, err)
	}
	have := int64(min(room, math.MaxInt64/2)) + r.pretended[node]
	keep := r.units[:0]
	for _, u := range r.units {
		bytes := int64(u.pages) * policy.PageSize
		if bytes > have {
			r.count(u, NoRoom)
			continue
		}
		have -= bytes
		keep = append(keep, u)
	}
	r.units = keep
	return nil
}

// call makes one call for all units and leaves in r.units those that it did not try.
func (r *run) call(to policy.Slot, node policy.NodeID) error {
	r.addrs, r.nodeOf, r.status = r.addrs[:0], r.nodeOf[:0], r.status[:0]
	for _, u := range r.units {
		r.addrs = append(r.addrs, u.addr)
		r.nodeOf = append(r.nodeOf, int32(node))
		r.status = append(r.status, sentinel)
	}
	start := time.Now()
	n, err := r.pager.Move(r.id.PID, r.addrs, r.nodeOf, r.status, r.flags)
	took := time.Since(start)
	pages := sum(r.units)
	r.adapt(pages, took)
	for _, u := range r.units {
		r.out[u.move].Duration += time.Duration(int64(took) * int64(u.pages) / int64(pages))
	}
	// Before the answers are believed: what has moved for another program is not
	// what was asked for.
	if err := r.check(node); err != nil {
		return err
	}
	r.left = r.left[:0]
	doubt := n != 0 || err != nil
	for _, st := range r.status {
		doubt = doubt || st == sentinel || st == -int32(unix.EBUSY)
	}
	r.moved = 0
	var lost error
	if doubt {
		lost = r.judge(node, n, err)
	} else {
		lost = r.accept(node)
	}
	if r.recorder == nil && !doubt && r.moved > 0 {
		r.learn(r.moved, took)
	}
	if lost != nil {
		return lost
	}
	if err != nil {
		result := ofCall(err)
		e := &Error{PID: r.id.PID, Node: node, Result: result, Err: err}
		if result.ends() {
			return e
		}
		r.blocked[to] = e
	}
	r.units, r.left = r.left, r.units
	return nil
}

// adapt sizes the next batch by how long this one took.
func (r *run) adapt(pages int, took time.Duration) {
	r.stats.Calls++
	r.stats.CallTime += took
	switch {
	case took > r.latency:
		r.stats.Slow++
		r.batch = max(minBatch, r.batch/2)
	case took < r.latency/2 && float64(pages) >= 0.75*r.batch:
		r.batch = min(maxBatch, r.batch*1.25)
	}
}

// learn averages the cost of a page over the last pages that moved. Small
// calls weigh little: most of their time is the call's own.
func (r *run) learn(pages int, took time.Duration) {
	r.fade(time.Now())
	keep := math.Exp(-float64(pages) / costMemory)
	r.costTime = r.costTime*keep + took.Seconds()
	r.costPages = r.costPages*keep + float64(pages)
}

// landed counts a unit that has moved.
func (r *run) landed(u unit, node policy.NodeID) {
	r.count(u, Moved)
	r.arrived(u)
	r.moved += int(u.pages)
	if r.recorder != nil {
		from, _ := r.node(r.moves[u.move].From)
		r.pretended[node] -= int64(u.pages) * policy.PageSize
		r.pretended[from] += int64(u.pages) * policy.PageSize
	}
}

// accept believes the statuses of a call without a doubt, but for one thing: a region
// that is no longer one huge page has moved only its first page.
func (r *run) accept(node policy.NodeID) error {
	r.addrs = r.addrs[:0]
	for i, u := range r.units {
		if r.huge(u) && r.status[i] >= 0 {
			r.addrs = append(r.addrs, r.last(u))
		}
	}
	if len(r.addrs) > 0 && r.recorder == nil {
		if err := r.query(&r.truth); err != nil {
			return r.giveUp(node, ofCall(err), err)
		}
	}
	last := 0
	for i, u := range r.units {
		st := r.status[i]
		switch {
		case st >= 0 && r.huge(u) && r.recorder == nil:
			if r.truth[last] == int32(node) {
				r.landed(u, node)
			} else if err := r.scatter(u, node, st, true); err != nil {
				return r.abandon(i+1, node, err)
			}
			last++
		case st == int32(node):
			r.landed(u, node)
		case st >= 0:
			r.count(u, Elsewhere)
		default:
			r.refused(u, node, ofPage(errnoOf(st)), errnoOf(st))
		}
	}
	return nil
}

func (r *run) huge(u unit) bool {
	return u.pages == policy.PagesPerRegion && r.pageSize < policy.RegionSize
}

// last is the address of the last page of a huge region.
func (r *run) last(u unit) uintptr { return u.addr + policy.RegionSize - uintptr(r.pageSize) }

// judge asks where the pages are after a call that left doubts.
func (r *run) judge(node policy.NodeID, n int, callErr error) error {
	r.addrs = r.addrs[:0]
	for _, u := range r.units {
		r.addrs = append(r.addrs, u.addr)
	}
	if err := r.query(&r.truth); err != nil {
		return r.giveUp(node, ofCall(err), err)
	}
	first, end := failedGroup(r.status)
	for i, u := range r.units {
		st, is := r.status[i], r.truth[i]
		tried := st != sentinel || n == 0 || (first <= i && i < end)
		if r.huge(u) {
			// One address does not speak for a page that may have been split.
			if err := r.scatter(u, node, blame(st, callErr, tried), tried); err != nil {
				return r.abandon(i+1, node, err)
			}
			continue
		}
		r.settle(u, node, is, blame(st, callErr, tried), tried)
	}
	return nil
}

// abandon counts the units from i on when the kernel no longer answers.
func (r *run) abandon(i int, node policy.NodeID, err error) error {
	r.units = append(r.units[:0], r.units[i:]...)
	r.units = append(r.units, r.left...)
	r.left = r.left[:0]
	return r.giveUp(node, ofCall(err), err)
}

// blame is the status that explains why a page is still where it was.
func blame(st int32, callErr error, tried bool) int32 {
	var errno unix.Errno
	switch {
	case st < 0 && st != sentinel:
		return st
	case errors.As(callErr, &errno):
		return callStatus - int32(errno)
	case st == sentinel && tried:
		return -int32(unix.EBUSY)
	}
	return st
}

// callStatus lies below every status of a page, and marks the error of a call.
const callStatus = -1 << 16

// settle counts one page by where it is; a page that was not tried is kept.
func (r *run) settle(u unit, node policy.NodeID, is, why int32, tried bool) {
	from, _ := r.node(r.moves[u.move].From)
	switch {
	case is == int32(node):
		r.landed(u, node)
	case is >= 0 && is != int32(from):
		r.count(u, Elsewhere)
	case is < 0:
		r.refused(u, node, ofPage(errnoOf(is)), errnoOf(is))
	case why == sentinel && !tried:
		r.left = append(r.left, u)
	case why == sentinel:
		r.refused(u, node, Other, unix.EIO)
	case why <= callStatus:
		errno := unix.Errno(callStatus - why)
		r.refused(u, node, ofCall(errno), errno)
	case why < 0:
		r.refused(u, node, ofPage(errnoOf(why)), errnoOf(why))
	default:
		r.count(u, Elsewhere) // put back as soon as it had moved
	}
}

// scatter settles a huge region page by page. Pages that stayed although the first
// one moved are kept for another call: the region was no huge page.
func (r *run) scatter(u unit, node policy.NodeID, why int32, tried bool) error {
	// Behind what r.addrs and r.truth already hold.
	addrs, truth := len(r.addrs), len(r.truth)
	step := max(1, r.pageSize/policy.PageSize)
	for p := 0; p < policy.PagesPerRegion; p += step {
		r.addrs = append(r.addrs, u.addr+uintptr(p)*policy.PageSize)
		r.truth = append(r.truth, sentinel)
	}
	r.stats.Queries++
	err := r.pager.Query(r.id.PID, r.addrs[addrs:], r.truth[truth:])
	if err != nil {
		r.count(u, ofCall(err))
		r.fail(int(u.move), &Error{PID: r.id.PID, Node: node, Result: ofCall(err), Err: err})
	} else {
		// Only the first page was asked for: others on the target were there.
		single := r.truth[truth] == int32(node) && why >= 0
		if single {
			why, tried = sentinel, false
		}
		for p := 0; p < policy.PagesPerRegion; p += step {
			piece := unit{r.addrs[addrs+p/step], u.move, int32(step)}
			if is := r.truth[truth+p/step]; single && p > 0 && is == int32(node) {
				r.count(piece, Already)
				r.arrived(piece)
			} else {
				r.settle(piece, node, is, why, tried)
			}
		}
	}
	r.addrs, r.truth = r.addrs[:addrs], r.truth[:truth]
	return err
}

// failedGroup finds the units [first, end) of the group that the kernel tried and
// did not complete: see the package comment.
func failedGroup(status []int32) (first, end int) {
	first = slices.Index(status, sentinel)
	if first < 0 {
		return len(status), len(status)
	}
	for end = first; end < len(status) && status[end] == sentinel; end++ {
	}
	return first, end
}
