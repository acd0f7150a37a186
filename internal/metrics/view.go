package metrics

import (
	"slices"
	"strconv"

	"github.com/tierd/tierd/internal/status"
)

// MaxWorkloads is how many workloads have a label of their own.
const MaxWorkloads = 100

// view is a picture with its workloads as they are labelled.
type view struct {
	*status.Status
	groups []group
}

// group is one workload, or all those beyond the bound together.
type group struct {
	label                               string
	enforcing                           bool
	processes                           int
	resident                            map[string]uint64
	elsewhere, immovable, bound, shared uint64
	accesses                            map[string]float64
	total                               float64 // of accesses
	promoted, demoted                   uint64
	plannedPromoted, plannedDemoted     uint64
	outcomes, vetoes                    map[string]uint64
	breaker                             string
	trips                               uint64
	undone                              float64
	pressure                            *float64
	period                              float64
	swept                               uint64
	split                               *status.Split
	hints, hintsLocal                   uint64
	// local is the sum of located accesses that were local.
	local, located float64
	groups         map[string]map[string]uint64 // bytes by kind and tier
	numaFaults     map[int]uint64               // by node
}

func newView(s *status.Status) *view {
	v := &view{Status: s}
	index := map[string]int{}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		label := w.Name
		if i >= MaxWorkloads {
			label = other
		}
		at, ok := index[label]
		if !ok {
			at = len(v.groups)
			index[label] = at
			v.groups = append(v.groups, group{
				label: label, resident: map[string]uint64{}, accesses: map[string]float64{},
				outcomes: map[string]uint64{}, vetoes: map[string]uint64{},
			})
		}
		v.groups[at].add(w)
	}
	return v
}

func (g *group) add(w *status.Workload) {
	g.enforcing = g.enforcing || w.Mode == status.Enforce
	g.processes += w.Processes
	addAll(g.resident, w.ResidentBytes)
	g.elsewhere += w.ElsewhereBytes
	g.immovable += w.ImmovableBytes
	g.bound += w.BoundBytes
	g.shared += w.SharedBytes
	for tier, rate := range w.AccessesPerSecond {
		g.accesses[tier] += rate
		g.total += rate
	}
	g.promoted += w.PromotedBytesTotal
	g.demoted += w.DemotedBytesTotal
	g.plannedPromoted += w.PlannedPromotedBytesTotal
	g.plannedDemoted += w.PlannedDemotedBytesTotal
	g.period = max(g.period, w.PeriodSeconds)
	g.swept += w.SweepBytes
	g.hints += w.HintFaultsTotal
	g.hintsLocal += w.LocalHintFaultsTotal
	if w.LocalRatio != nil {
		for _, rate := range w.AccessesPerSecond {
			g.located, g.local = g.located+rate, g.local+rate**w.LocalRatio
		}
	}
	for kind, bytes := range w.GroupBytes {
		if g.groups == nil {
			g.groups = map[string]map[string]uint64{}
		}
		if g.groups[kind] == nil {
			g.groups[kind] = map[string]uint64{}
		}
		addAll(g.groups[kind], bytes)
	}
	for node, n := range w.NUMAFaults {
		if g.numaFaults == nil {
			g.numaFaults = map[int]uint64{}
		}
		g.numaFaults[node] += n
	}
	g.addSplit(w.Split)
	addAll(g.outcomes, w.OutcomesTotal)
	addAll(g.vetoes, w.Vetoes)
	g.addBreaker(&w.Breaker)
}

// addSplit adds up the counts; of the gains the last stands.
func (g *group) addSplit(s *status.Split) {
	if s == nil {
		return
	}
	sum := *s
	if g.split != nil {
		sum.SplitsTotal += g.split.SplitsTotal
		sum.RefusedTotal += g.split.RefusedTotal
	}
	g.split = &sum
}

func addAll(to, from map[string]uint64) {
	for k, n := range from {
		to[k] += n
	}
}

// nodes emits one number of each node.
func (v *view) nodes(emit emitter, of func(*status.Node) uint64) {
	for i := range v.Machine.Nodes {
		n := &v.Machine.Nodes[i]
		emit(float64(of(n)), strconv.Itoa(n.ID), tierOf(n))
	}
}

// tierOf is the label of a node's tier.
func tierOf(n *status.Node) string {
	if n.Tier == "" {
		return none
	}
	return n.Tier
}

// each emits one number of each workload.
func (v *view) each(emit emitter, of func(*group) float64) {
	for i := range v.groups {
		emit(of(&v.groups[i]), v.groups[i].label)
	}
}

// byTier emits one number of each workload and tier.
func (v *view) byTier(emit emitter, of func(g *group, tier string) float64) {
	for i := range v.groups {
		for _, t := range v.Machine.Tiers {
			emit(of(&v.groups[i], t.Name), v.groups[i].label, t.Name)
		}
	}
}

// closed emits one number of each workload and name of a closed set.
func (v *view) closed(emit emitter, names []string, of func(*group) map[string]uint64) {
	for i := range v.groups {
		g := &v.groups[i]
		byName(of(g), names, func(n float64, name string) { emit(n, g.label, name) })
	}
}

// byName emits one number for each name of a closed set, 0 for those that are missing; names outside the set are
// summed up as "other".
func byName[K ~string](counts map[K]uint64, names []string, emit func(n float64, name string)) {
	rest := uint64(0)
	for name, n := range counts {
		if string(name) == other || !slices.Contains(names, string(name)) {
			rest += n
		}
	}
	for _, name := range names {
		if name != other {
			emit(float64(counts[K(name)]), name)
		}
	}
	emit(float64(rest), other)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
