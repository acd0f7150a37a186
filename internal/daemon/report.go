package daemon

import (
	"maps"
	"os"
	"slices"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/movers"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
)

// publish makes the picture of this epoch.
func (d *Daemon) publish(now time.Time, took time.Duration) {
	s := &status.Status{
		SchemaVersion: status.SchemaVersion,
		Time:          now, Version: d.o.Version, PID: os.Getpid(),
		Mode: d.mode(), ModeReason: d.stays(), Forced: d.stays() != "" && d.cfg.Enforcing(), SecondMover: d.rival,
		StartedAt: d.started, UptimeSeconds: now.Sub(d.started).Seconds(),
		Epoch:      status.Epoch{Number: d.epochs, Seconds: took.Seconds()},
		Sources:    d.sources,
		DropsTotal: d.dropped(),
		LastErrors: d.errs.List(),
	}
	for i, t := range d.nodes.tiers {
		tier := status.Tier{Name: t.Name, Rank: i}
		for _, n := range d.nodes.list {
			if n.Tier == i {
				tier.Nodes = append(tier.Nodes, int(n.ID))
			}
		}
		s.Machine.Tiers = append(s.Machine.Tiers, tier)
	}
	for _, n := range d.nodes.list {
		node := status.Node{ID: int(n.ID), SizeBytes: n.Size, FreeBytes: n.Free, ReserveBytes: n.Reserve}
		if n.Tier >= 0 {
			node.Tier = d.nodes.tiers[n.Tier].Name
		}
		node.KernelPagesTotal = maps.Clone(d.nodes.counters[node.ID])
		s.Machine.Nodes = append(s.Machine.Nodes, node)
	}
	s.Sources = slices.Clone(s.Sources)
	if heard, ok := d.hearing.report(); ok {
		s.Sources = append(s.Sources, heard)
	}
	if heard, ok := d.sampling.report(); ok {
		s.Sources = append(s.Sources, heard)
	}
	if heard, ok := d.monitoring.report(); ok {
		s.Sources = append(s.Sources, heard)
	}
	d.reportSources(s)
	d.reportSampler(s)
	d.reportMover(s)
	d.reportHost(s)
	d.reportWorkloads(s)
	d.reportThrash(s)
	d.reportRecord(s)
	d.o.Board.Publish(s)
}

func (d *Daemon) stats() sampler.Stats {
	if d.tracker == nil {
		return sampler.Stats{}
	}
	return d.tracker.Stats()
}

func (d *Daemon) dropped() map[status.Drop]uint64 {
	st := d.stats()
	all := maps.Clone(d.drops)
	all[status.DropMappings] += st.Truncated
	all[status.DropDetail] += st.DetailsRefused
	all[status.DropSample] += st.Torn + st.Unreadable
	if d.plan != nil {
		all[status.DropLedger] += d.plan.Thrash.Totals.Dropped
	}
	return all
}

func (d *Daemon) reportSampler(s *status.Status) {
	st := d.stats()
	s.Sampler = status.Sampler{
		Regions: uint64(st.Regions), Mappings: uint64(st.Mappings), SamplesTotal: st.Samples, TornTotal: st.Torn,
		CPUSecondsTotal: d.clock.CPU(), CPUBudget: d.cfg.Sampler.CPUBudget.Fraction(),
	}
	if st.Bursting {
		s.Sampler.CPUBudget = max(s.Sampler.CPUBudget, d.cfg.Sampler.BurstBudget.Fraction())
	}
	for i := range max(len(d.nodes.tiers)-1, 0) {
		b := status.Boundary{Tier: d.nodes.tiers[i].Name}
		if d.plan != nil && i < len(d.plan.Boundaries) {
			b.AccessesPerSecond = float64(d.plan.Boundaries[i])
		}
		if i < len(st.Windows) {
			b.WindowSeconds = st.Windows[i]
		}
		s.Sampler.Boundaries = append(s.Sampler.Boundaries, b)
	}
}

func (d *Daemon) reportMover(s *status.Status) {
	st := d.enforcing.Stats()
	s.Migrate = status.Migrate{
		RateBytesPerSecond: uint64(d.cfg.Migrate.Rate.BytesPerSecond()),
		MovedBytesTotal:    d.moved,
		BusySecondsTotal:   st.CallTime.Seconds(),
		WaitedSecondsTotal: st.Waited.Seconds(),
		CallsTotal:         st.Calls, SlowCallsTotal: st.Slow, BatchPages: uint64(st.Batch),
		HeldRegions: uint64(d.enforcing.Refusals().Len()),
	}
	if d.moved > 0 {
		cost := d.enforcing.CostPerPage()
		s.Migrate.CostPerPageSeconds = &cost
	}
}

// reportSources tells how much each source has told.
func (d *Daemon) reportSources(s *status.Status) {
	if d.tracker == nil {
		return
	}
	st := d.tracker.Stats()
	for i := range s.Sources {
		src := &s.Sources[i]
		if src.Name == string(config.SourcePageTable) {
			src.RegionsTotal, src.DisagreedTotal = st.Samples, st.Disagreed
			continue
		}
		if v := slices.Index(sampler.Voices(), src.Name); v >= 0 {
			src.RegionsTotal, src.DisagreedTotal = st.Heard[v].Regions, st.Heard[v].Disagreed
		}
	}
}

func (d *Daemon) reportHost(s *status.Status) {
	t := d.movers.Totals()
	if t == nil {
		return
	}
	s.Host = &status.Host{MovedBytesTotal: map[string]uint64{}, HintFaultsTotal: t.HintFaults, LocalHintFaultsTotal: t.LocalHintFaults}
	for _, m := range movers.All() {
		s.Host.MovedBytesTotal[string(m)] = t.Bytes[m]
	}
	if t.Traced == nil {
		return
	}
	s.Host.FailedBytesTotal, s.Host.MoveSeconds = map[string]uint64{}, map[string]status.Histogram{}
	for m, moved := range t.Traced {
		s.Host.FailedBytesTotal[string(m)] = moved.Failed * d.nodes.page
		h := status.Histogram{Count: moved.Calls, Sum: moved.Seconds, Buckets: map[int]int64{}}
		for i, n := range moved.Took {
			if n > 0 {
				h.Buckets[i-30] = int64(n)
			}
		}
		s.Host.MoveSeconds[string(m)] = h
	}
}

func (d *Daemon) reportWorkloads(s *status.Status) {
	index := map[string]int{}
	for i, w := range d.workloads {
		index[w.name] = i
		e := status.Workload{
			Name: w.name, Mode: status.Observe, LastError: w.lastError,
			ResidentBytes: map[string]uint64{}, AccessesPerSecond: map[string]float64{}, HitEstimate: map[string]float64{},
			PromotedBytesTotal: w.promoted, DemotedBytesTotal: w.demoted,
			PlannedPromotedBytesTotal: w.plannedPromoted, PlannedDemotedBytesTotal: w.plannedDemoted,
			OutcomesTotal: map[string]uint64{}, Vetoes: map[string]uint64{},
			HintFaultsTotal: w.hintsLocal + w.hintsRemote, LocalHintFaultsTotal: w.hintsLocal,
			Breaker: status.Breaker{State: policy.Closed.String()},
		}
		if w.enforce {
			e.Mode = status.Enforce
		}
		for _, t := range d.nodes.tiers {
			e.ResidentBytes[t.Name] = 0
		}
		for r := migrate.Result(0); r < migrate.NumResults; r++ {
			e.OutcomesTotal[r.String()] = w.outcomes[r]
		}
		d.reportCounts(w, &e)
		s.Workloads = append(s.Workloads, e)
	}
	for pid, m := range d.procs {
		e := &s.Workloads[index[m.workload.name]]
		e.Processes++
		reportFaults(m, e)
		if len(e.ProcessDetails) < status.MaxProcesses {
			p := status.Process{PID: pid, Comm: m.comm, State: status.Watched}
			switch {
			case m.err != nil:
				p.State, p.Error = status.Refused, m.err.Error()
			case d.tracker == nil:
				p.State = status.Waiting
			}
			e.ProcessDetails = append(e.ProcessDetails, p)
		}
	}
	if d.plan == nil {
		return
	}
	for i := range d.plan.Splitting {
		x := &d.plan.Splitting[i]
		wi, ok := index[x.Workload]
		if !ok {
			continue
		}
		out := &status.Split{SplitsTotal: uint64(x.Splits), RefusedTotal: uint64(x.Refused), Pending: x.Pending, RestSeconds: x.Rest}
		if x.Judged > 0 {
			out.GainRatio = &x.Gain
		}
		s.Workloads[wi].Split = out
	}
	heat := make([][]float64, len(d.workloads))
	located, local := make([]float64, len(d.workloads)), make([]float64, len(d.workloads))
	for i, sum := range d.plan.Processes {
		if i >= len(d.planOf) {
			break
		}
		wi, ok := index[d.planOf[i]]
		if !ok {
			continue
		}
		d.addSummary(&s.Workloads[wi], &sum)
		if heat[wi] == nil {
			heat[wi] = make([]float64, len(d.nodes.tiers))
		}
		located[wi], local[wi] = located[wi]+sum.Located, local[wi]+sum.Local
		for t, h := range sum.Heat {
			if t < len(heat[wi]) {
				heat[wi][t] += h
			}
		}
	}
	for i, h := range heat {
		if located[i] > 0 {
			ratio := local[i] / located[i]
			s.Workloads[i].LocalRatio = &ratio
		}
		var total float64
		for _, v := range h {
			total += v
		}
		for t, v := range h {
			if total > 0 {
				s.Workloads[i].AccessesPerSecond[d.nodes.tiers[t].Name] = v
				s.Workloads[i].HitEstimate[d.nodes.tiers[t].Name] = v / total
			}
		}
	}
}

func (d *Daemon) addSummary(e *status.Workload, sum *policy.Summary) {
	for t, b := range sum.Bytes {
		if t < len(d.nodes.tiers) {
			e.ResidentBytes[d.nodes.tiers[t].Name] += b
		}
	}
	e.ElsewhereBytes += sum.Elsewhere
	e.ImmovableBytes += sum.Immovable
	e.BoundBytes += sum.Bound
	e.SharedBytes += sum.Shared
	// Of several processes the longest step is told: they wait for each other.
	e.PeriodSeconds = max(e.PeriodSeconds, sum.Period)
	e.SweepBytes += sum.Sweep.Bytes
	for rule, pages := range sum.Vetoed {
		e.Vetoes[string(rule)] += pages
	}
}
