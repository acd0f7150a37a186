package policy

import (
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Kinds of machine.
const (
	untidy = iota
	tidy   // no mixed part, no region on two nodes, no node below its reserve
	alike  // tidy, and all that moves is of one size
)

// machine draws a machine and its memory.
func machine(t *rapid.T, kind int) *Snapshot {
	s := &Snapshot{MoveCost: rapid.SampledFrom([]float64{0, 1e-7, 2e-6, 1e-4}).Draw(t, "cost")}
	ntiers := rapid.IntRange(1, 4).Draw(t, "tiers")
	for i := range ntiers {
		s.Tiers = append(s.Tiers, Tier{Name: strconv.Itoa(i), AccessNS: 100 * float64(int(1)<<i)})
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "nodes") {
		tier := i
		if i >= ntiers {
			tier = rapid.IntRange(-1, ntiers-1).Draw(t, "tier")
		}
		lack := 3
		if kind != untidy {
			lack = 0
		}
		room := rapid.IntRange(-lack*PagesPerRegion, 4*PagesPerRegion).Draw(t, "room")
		if rapid.Bool().Draw(t, "whole") {
			room = room / PagesPerRegion * PagesPerRegion
		}
		s.Nodes = append(s.Nodes, Node{
			ID: NodeID(i), Tier: tier, Size: 1 << 40,
			Free: uint64(reserve + room*PageSize), Reserve: reserve,
		})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "homes") {
		h := Home{Node: NodeID(i)}
		for range s.Nodes {
			h.Stretch = append(h.Stretch, rapid.SampledFrom([]float64{0, 1, 1.5, 3}).Draw(t, "stretch"))
		}
		s.Homes = append(s.Homes, h)
	}
	rate := rapid.Custom(func(t *rapid.T) float32 {
		return float32(math.Exp(rapid.Float64Range(-3, 7).Draw(t, "ln rate")))
	})
	variance := rapid.SampledFrom([]float32{0, 0.001, 0.01, 0.1, 1})
	slot := rapid.Custom(func(t *rapid.T) Slot {
		return Slot(rapid.IntRange(0, len(s.Nodes)-1).Draw(t, "slot"))
	})
	samples := rapid.SampledFrom([]uint8{0, 1, 3, 7, 255})
	for pid := range rapid.IntRange(1, 3).Draw(t, "processes") {
		p := Process{ID: ProcessID{PID: pid}, Workload: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "workload")}
		for i := range rapid.IntRange(0, 24).Draw(t, "regions") {
			r := Region{
				Addr: base + uint64(i)*RegionSize, Rate: rate.Draw(t, "rate"), LogVar: variance.Draw(t, "var"),
				Stable: float32(rapid.IntRange(0, 90).Draw(t, "stable")), SinceMove: float32(math.Inf(1)),
				Evidence: samples.Draw(t, "evidence"), Detail: -1,
			}
			if len(s.Homes) > 0 {
				r.Home = uint8(rapid.IntRange(0, 3).Draw(t, "home"))
			}
			switch rapid.IntRange(0, 9).Draw(t, "shape") {
			case 0:
				r.Flags = uint8(rapid.IntRange(0, 63).Draw(t, "flags"))
			case 1, 2:
				r.Detail = int32(len(p.Details))
				var d Detail
				// Drawing each part's figures by themselves would take seconds.
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "parts"), 0))
				for k := range d {
					// Each stratum may lie on several nodes, but for one part each.
					stratum := k * 4 / MaxPortions
					if k > 0 && stratum == int(d[k-1].Stratum) {
						d[k] = d[k-1]
						d[k].Slot = (d[k].Slot + 1) % Slot(len(s.Nodes))
					} else {
						d[k] = Portion{
							Rate: float32(math.Exp(10*rng.Float64() - 3)), LogVar: float32(math.Exp(-7 * rng.Float64())), Evidence: uint8(rng.Uint32()),
							Stratum: uint8(stratum), Slot: Slot(rng.IntN(len(s.Nodes))),
						}
					}
					d[k].Pages, d[k].Went = [3]uint16{0, 3, 64}[rng.IntN(3)], Way(rng.IntN(3))
					if kind == alike {
						d[k].Pages = 0
					}
					if kind == untidy && rng.IntN(6) == 0 {
						d[k].Slot = NoSlot
					}
				}
				p.Details = append(p.Details, d)
				place(&r, &d)
			}
			if r.Detail < 0 {
				sizes := []int{1, 77, 512, 512, 512}
				if kind == alike {
					sizes = sizes[2:]
				}
				r.Placement[0] = SlotPages{uint16(rapid.SampledFrom(sizes).Draw(t, "pages")), slot.Draw(t, "slot")}
				if kind == untidy && rapid.IntRange(0, 5).Draw(t, "split") == 0 {
					r.Placement[1] = SlotPages{1, slot.Draw(t, "slot")}
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "recent") == 0 {
				r.SinceMove = float32(rapid.IntRange(0, 20).Draw(t, "since"))
				r.Flags |= MovedUp * uint8(rapid.IntRange(0, 1).Draw(t, "up"))
			}
			p.Regions = append(p.Regions, r)
		}
		s.Processes = append(s.Processes, p)
	}
	for _, name := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, "listed") {
			w := Workload{Name: name, Weight: rapid.SampledFrom([]float64{0, 0.3, 1, 4}).Draw(t, "weight")}
			for range rapid.IntRange(0, ntiers).Draw(t, "limits") {
				pages := rapid.IntRange(1, 12*PagesPerRegion).Draw(t, "limit")
				w.Limits = append(w.Limits, uint64(rapid.SampledFrom([]int{0, 1, pages}).Draw(t, "limited")*PageSize))
			}
			s.Workloads = append(s.Workloads, w)
		}
	}
	return s
}

// place sets the placement of a region from its parts.
func place(r *Region, d *Detail) {
	var on [256]int
	for _, p := range d {
		on[p.Slot] += int(p.Pages)
	}
	r.Placement = [3]SlotPages{}
	for i := range r.Placement {
		most := 0
		for slot := range NoSlot {
			if on[slot] > on[most] {
				most = int(slot)
			}
		}
		r.Placement[i] = SlotPages{uint16(on[most]), Slot(most)}
		on[most] = 0
	}
}

func parameters(t *rapid.T) Params {
	p := DefaultParams()
	p.Separation = rapid.SampledFrom([]float64{0, 1, 2.5, 6}).Draw(t, "z")
	p.Payback = rapid.SampledFrom([]float64{0, 1, 1.5, 5}).Draw(t, "payback")
	p.Budget = uint64(rapid.SampledFrom([]int{0, 1, 16, 512, 700, 2000, 1 << 20}).Draw(t, "budget")) * PageSize
	p.EvidenceFill = rapid.IntRange(0, 4).Draw(t, "evidence fill")
	return p
}

// key names the least thing that moves.
type key struct {
	process int
	addr    uint64
	stratum int
	from    Slot
}

// parts lists what a move moves, and how many of its pages surely leave From: of
// a part on unknown nodes nobody knows.
func (m *Move) parts(s *Snapshot) (keys []key, leave int) {
	r := m.region(s)
	if r.Detail < 0 || r.Flags&Huge != 0 {
		return []key{{m.Process, m.Addr, -1, m.From}}, m.Pages
	}
	seen := uint8(0)
	for _, p := range s.Processes[m.Process].Details[r.Detail] {
		if m.Strata>>p.Stratum&1 != 0 && p.Pages > 0 && (p.Slot == m.From || p.Slot == NoSlot) {
			if seen>>p.Stratum&1 == 0 {
				keys = append(keys, key{m.Process, m.Addr, int(p.Stratum), m.From})
			}
			seen |= 1 << p.Stratum
			if p.Slot == m.From {
				leave += int(p.Pages)
			}
		}
	}
	leave = min(leave, m.Pages)
	return keys, leave
}

func (m *Move) region(s *Snapshot) *Region {
	regions := s.Processes[m.Process].Regions
	i, ok := slices.BinarySearchFunc(regions, m.Addr, func(r Region, a uint64) int { return int(int64(r.Addr) - int64(a)) })
	if !ok {
		panic("no such region")
	}
	return &regions[i]
}

// apply carries out a move in a tidy snapshot.
func (m *Move) apply(s *Snapshot) {
	r := m.region(s)
	if r.Detail >= 0 && r.Flags&Huge == 0 {
		d := &s.Processes[m.Process].Details[r.Detail]
		for i := range d {
			if m.Strata>>d[i].Stratum&1 != 0 && d[i].Slot == m.From {
				d[i].Slot = m.To
			}
		}
		place(r, d)
	} else {
		for i := range r.Placement {
			if p := &r.Placement[i]; p.Pages > 0 && p.Slot == m.From {
				p.Slot = m.To
			}
		}
	}
	s.Nodes[m.From].Free += uint64(m.Pages) * PageSize
	s.Nodes[m.To].Free -= uint64(m.Pages) * PageSize
}

func TestPlanIsSafe(t *testing.T) {
	var e Engine
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, untidy), parameters(t)
		plan := e.Decide(s, p)
		if diff := cmp.Diff(new(Engine).Decide(s, p), plan); diff != "" {
			t.Fatalf("a used engine decides otherwise (-new +used):\n%s", diff)
		}
		free := make([]int64, len(s.Nodes))
		for i, n := range s.Nodes {
			free[i] = int64(n.Free) - int64(n.Reserve)
		}
		done := map[key]bool{}
		var bytes uint64
		held := tally(s, plan)
		began := maps.Clone(held)
		for _, m := range plan.Moves {
			r := m.region(s)
			if r.Flags&(fixing|Unseen) != 0 {
				t.Fatalf("touches fixed memory: %+v", m)
			}
			from, to := s.Nodes[m.From].Tier, s.Nodes[m.To].Tier
			near := m.Reason.Rule == Near
			if from < 0 || to < 0 || (m.Kind == Promotion) != (to < from || near) || near != (from == to) {
				t.Fatalf("from tier %d to %d: %+v", from, to, m)
			}
			if near {
				h := s.homeOf(&s.Processes[m.Process], r)
				if s.stretch(h, m.To) >= s.stretch(h, m.From) {
					t.Fatalf("from home %d it is no nearer: %+v", h, m)
				}
			}
			up := m.Kind == Promotion
			back := up != (r.Flags&MovedUp != 0)
			if m.Strata != AllStrata {
				back = false
				for _, q := range s.Processes[m.Process].Details[r.Detail] {
					if m.Strata>>q.Stratum&1 != 0 && q.Slot == m.From && q.Pages > 0 {
						back = back || q.Went == WentUp && !up || q.Went == WentDown && up
					}
				}
			}
			if back && float64(r.SinceMove) < p.Cooldown {
				t.Fatalf("turns back within the cool-down: %+v", m)
			}
			keys, leave := m.parts(s)
			for _, k := range keys {
				if done[k] {
					t.Fatalf("moves twice: %+v", k)
				}
				done[k] = true
			}
			size := int64(m.Pages) * PageSize
			bytes += uint64(size)
			if free[m.To] -= size; free[m.To] < 0 {
				t.Fatalf("goes into the reserve of node %d by %d bytes: %+v\nof %+v", m.To, -free[m.To], m, plan.Moves)
			}
			free[m.From] += int64(leave) * PageSize
			name := s.Processes[m.Process].Workload
			held[stock{name, from}] -= int64(leave) * PageSize
			held[stock{name, to}] += size
		}
		for _, w := range s.Workloads {
			for tier, limit := range w.Limits {
				k := stock{w.Name, tier}
				if limit > 0 && tier < slowest(s) && held[k] > max(int64(limit), began[k]) {
					t.Fatalf("%s has %d bytes of tier %d, of which it may have %d; it had %d\nmoves %+v", w.Name, held[k], tier, limit, began[k], plan.Moves)
				}
			}
		}
		if bytes > p.Budget {
			t.Fatalf("moves %d bytes, may move %d", bytes, p.Budget)
		}
	})
}

// stock is what a workload has of a tier.
type stock struct {
	workload string
	tier     int
}

// tally counts what every workload has, in bytes.
func tally(s *Snapshot, plan *Plan) map[stock]int64 {
	held := map[stock]int64{}
	for i, p := range s.Processes {
		for tier, b := range plan.Processes[i].Bytes {
			held[stock{p.Workload, tier}] += int64(b)
		}
	}
	return held
}

func slowest(s *Snapshot) (tier int) {
	for _, n := range s.Nodes {
		tier = max(tier, n.Tier)
	}
	return tier
}

// In the fastest tier, where nobody goes up and away, a workload loses what is
// within its share only if nobody ends with more beyond his than he had. (Where
// sizes differ, what a workload gives up of its own is room for others.)
func TestSharesAreSafe(t *testing.T) {
	var e Engine
	lost := 0
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, alike), parameters(t)
		for i := range s.Workloads {
			s.Workloads[i].Limits = nil
		}
		plan := e.Decide(s, p)
		began := tally(s, plan)
		ended := maps.Clone(began)
		for _, m := range plan.Moves {
			name, size := s.Processes[m.Process].Workload, int64(m.Pages)*PageSize
			ended[stock{name, s.Nodes[m.From].Tier}] -= size
			ended[stock{name, s.Nodes[m.To].Tier}] += size
		}
		if e.n == 1 || e.slowest < 1 {
			return
		}
		// Shares are of what can move.
		beyond := func(name string, held map[stock]int64) int64 {
			w := int(e.names[name])
			fixed := ended[stock{name, 0}] - e.got[e.at(0, w)]
			return held[stock{name, 0}] - fixed - e.share[e.at(0, w)]
		}
		for name := range e.names {
			if now, was := beyond(name, ended), beyond(name, began); now >= 0 || now >= was {
				continue
			}
			lost++
			for other := range e.names {
				if now, was := beyond(other, ended), beyond(other, began); other != name && now > max(was, 0) {
					t.Fatalf("%q loses of its share, %q has %d bytes beyond its own and had %d\nmoves %+v", name, other, now, was, plan.Moves)
				}
			}
		}
	})
	t.Logf("%d times a workload lost of its share", lost)
}

// With nothing changing, plan after plan carried out leads to rest.
func TestPlansComeToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { settle(t, tidy) })
}

// Where all that moves is of one size and may move at once, nothing returns to
// one of two tiers that it has left. Between more tiers that can happen, since
// a plan may leave room, or colder memory, where it has just pushed something
// out; but it must be rare. (Where sizes differ, a small unit also comes back
// into what remains of the room that it left for a big one.)
func TestNothingReturns(t *testing.T) {
	moves, returns := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		type place struct {
			key
			tier int
		}
		left := map[place]string{}
		settle(t, alike, func(s *Snapshot, round int, m *Move) {
			if m.Reason.Rule == Near {
				return
			}
			moves++
			keys, _ := m.parts(s)
			for _, k := range keys {
				k.from = 0
				if was := left[place{k, s.Nodes[m.To].Tier}]; was != "" {
					if returns++; len(s.Tiers) == 2 {
						t.Fatalf("round %d: returns with %+v\nleft in round %s", round, m, was)
					}
				}
				left[place{k, s.Nodes[m.From].Tier}] = fmt.Sprintf("%d: %+v", round, m)
			}
		})
	})
	t.Logf("%d of %d moves are returns", returns, moves)
	if returns > 2+moves/100 {
		t.Errorf("%d of %d moves are returns", returns, moves)
	}
}

// settle decides and carries out until there is nothing to do.
func settle(t *rapid.T, kind int, watch ...func(s *Snapshot, round int, m *Move)) {
	s, p := machine(t, kind), parameters(t)
	p.Budget = max(p.Budget, 8*RegionSize)
	if kind == alike {
		p.Budget = 1 << 40
	}
	p.Cooldown = 0
	var e Engine
	for round := 0; ; round++ {
		plan := e.Decide(s, p)
		if len(plan.Moves) == 0 {
			return
		}
		if round > 200 {
			t.Fatalf("no rest; still %+v", plan.Moves)
		}
		for i := range plan.Moves {
			m := &plan.Moves[i]
			for _, f := range watch {
				f(s, round, m)
			}
			m.apply(s)
		}
	}
}

// Regions that are all used alike are not exchanged for what their noise
// makes of them, however many there are.
func TestNoiseMovesNothing(t *testing.T) {
	for _, n := range []int{20, 512, 20000} {
		for _, variance := range []float64{0.003, 0.05, 0.5} {
			t.Run(fmt.Sprint(n, variance), func(t *testing.T) {
				moves, epochs := 0, 20
				for seed := range epochs {
					rng := rand.New(rand.NewPCG(uint64(seed), 1))
					s := tiers(0, 0, n)
					for i := range n {
						v := variance * math.Exp(rng.NormFloat64()/2)
						slot := Slot(2)
						if i < n/8 {
							slot = 0
						} else if i < n/2 {
							slot = 1
						}
						s.with(slot, float32(20*math.Exp(rng.NormFloat64()*math.Sqrt(v))), noise(float32(v)), stable(60))
					}
					moves += len(new(Engine).Decide(s, params()).Moves)
				}
				if limit := float64(epochs*n) * 0.0005; float64(moves) > limit+2 {
					t.Errorf("%d moves of %d regions in %d epochs", moves, n, epochs)
				}
			})
		}
	}
}

// The package is pure: these are all the imports that it may have.
func TestImports(t *testing.T) {
	allowed := []string{"cmp", "math", "math/bits", "slices", "sort"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
