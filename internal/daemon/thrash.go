package daemon

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

// maxPressures is how many processes' cgroups are asked for their pressure at a
// scan; the others have their turn at the next.
const maxPressures = 64

// PolicyParams are the policy's parameters as [policy] and [thrash] want them. The
// budget is left to who knows the costs.
func PolicyParams(c *config.Config) policy.Params {
	t, p := &c.Thrash, policy.DefaultParams()
	p.Split = c.Policy.Split
	p.Separation, p.Payback = t.Separation, t.Payback
	p.MaxWaste, p.Breaker, p.MaxPressure = t.MaxWaste.Fraction(), t.Breaker.Fraction(), t.PSI.Fraction()
	p.Window = t.Window.Std().Seconds()
	return p
}

// params are the policy's for the next plan.
func (d *Daemon) params(moveCost float64) policy.Params {
	p := PolicyParams(d.cfg)
	p.Budget = policy.PlanBytes(d.interval.Seconds(), moveCost, d.cfg.Migrate.Rate.BytesPerSecond())
	return p
}

// someAvg10 is the pressure that counts, as a share.
func someAvg10(psi hostfs.PSI, err error) float64 {
	if err != nil {
		return policy.NoPressure
	}
	return psi.Some.Avg10 / 100
}

// askPressures reads the memory pressure of the watched processes' cgroups, of
// some at a time and in turn.
func (d *Daemon) askPressures() {
	if d.tracker == nil || len(d.procs) == 0 {
		return
	}
	pids := slices.Sorted(maps.Keys(d.procs))
	known := map[string]float64{}
	next, _ := slices.BinarySearch(pids, d.pressureNext)
	for k := range min(len(pids), maxPressures) {
		pid := pids[(next+k)%len(pids)]
		d.pressureNext = pid + 1
		m := d.procs[pid]
		m.pressure = policy.NoPressure
		g, err := d.o.Host.Cgroup(pid)
		m.cgroup = ""
		if err == nil && !g.Deleted {
			m.cgroup = cgroupPath(g)
		}
		// The root's is the host's.
		if err != nil || g.Deleted || g.V2 == "" || g.V2 == "/" {
			continue
		}
		v, ok := known[g.V2]
		if !ok {
			v = someAvg10(d.o.Host.CgroupMemoryPressure(g.V2))
			known[g.V2] = v
		}
		m.pressure = v
	}
}

// setPressures tells the policy what memory is short of.
func (d *Daemon) setPressures(s *policy.Snapshot) {
	s.Pressure = someAvg10(d.o.Host.MemoryPressure())
	for i := range s.Processes {
		p := &s.Processes[i]
		p.Pressure = policy.NoPressure
		if m := d.memberOf(p.ID); m != nil {
			p.Pressure = m.pressure
		}
	}
}

// known is a value for the status; nil where there is none.
func known(v float64) *float64 {
	if !(v >= 0) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (d *Daemon) reportThrash(s *status.Status) {
	c := &d.cfg.Thrash
	s.Thrash = status.Thrash{
		Separation: c.Separation, BudgetRatio: 1, PressureRatio: nil,
		Settings: status.ThrashSettings{
			Separation: c.Separation, Payback: c.Payback, MaxWaste: c.MaxWaste.Fraction(),
			WindowSeconds: c.Window.Std().Seconds(), Breaker: c.Breaker.Fraction(), PSI: c.PSI.Fraction(),
		},
	}
	if d.plan == nil {
		return
	}
	t, out := &d.plan.Thrash, &s.Thrash
	out.Separation, out.BudgetRatio, out.WasteRatio = t.Separation, t.BudgetShare, t.Waste
	out.PressureRatio = known(t.Pressure)
	out.PendingPromotions = t.Pending
	out.PaidTotal, out.WastedTotal, out.UndoneTotal = t.Totals.Paid, t.Totals.Wasted, t.Totals.Undone
	out.PingPongsTotal = t.Totals.PingPongs
	out.SecondsTotal, out.WastedSecondsTotal = t.Totals.Seconds, t.Totals.WastedSeconds
	least := math.Inf(1)
	for i := range d.plan.Moves {
		if m := &d.plan.Moves[i]; m.Kind == policy.Promotion && m.Reason.Payback > 0 {
			least = min(least, float64(m.Reason.Payback))
		}
	}
	out.LeastPayback = known(least)
	for i := range t.Breakers {
		b := &t.Breakers[i]
		for j := range s.Workloads {
			if w := &s.Workloads[j]; w.Name == b.Workload {
				w.Breaker = breakerStatus(b)
				w.Breaker.Reason = breakerReason(b, &out.Settings, t.Pressure)
			}
		}
	}
}

func breakerStatus(b *policy.Breaker) status.Breaker {
	return status.Breaker{
		State: b.State.String(), Seconds: b.Seconds, UndoneRatio: b.Undone, TripsTotal: b.Trips, PressureRatio: known(b.Pressure),
	}
}

// breakerReason says why a workload's moves are held back, for a person; "" if
// they are not.
func breakerReason(b *policy.Breaker, c *status.ThrashSettings, host float64) string {
	switch {
	case b.Pressed && host > c.PSI:
		return fmt.Sprintf("the host's memory pressure is %.0f %%, above [thrash] psi = %.3g %%", 100*host, 100*c.PSI)
	case b.Pressed:
		return fmt.Sprintf("the memory pressure of its cgroup is %.0f %%, above [thrash] psi = %.3g %%", 100*b.Pressure, 100*c.PSI)
	case b.State == policy.Open:
		return fmt.Sprintf("%.0f %% of its moves were undone before they had paid, above [thrash] breaker = %.3g %%; a probe goes every 30 s", 100*b.Undone, 100*c.Breaker)
	case b.State == policy.HalfOpen:
		return "it was open, and its memory in use has changed since; one more bad window opens it again"
	}
	return ""
}
