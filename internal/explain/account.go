package explain

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

// Account puts what the policy tells of a snapshot into the words of the status.
func Account(a *policy.Account, s *policy.Snapshot, chosen func(*policy.Process) bool) *status.Account {
	t := teller{a, s, NewMachine(s)}
	out := &status.Account{HeldBytes: map[string]uint64{}, CountedBytes: map[string]uint64{}, Parts: []status.Part{}, UpBytes: a.Up, DownBytes: a.Down}
	for i := range s.Tiers {
		out.Tiers = append(out.Tiers, t.tier(i))
	}
	var known, all uint64
	for i := range s.Processes {
		p := &s.Processes[i]
		if !chosen(p) {
			continue
		}
		out.Workload = p.Workload
		out.Processes++
		sum := &a.Plan.Processes[i]
		for _, n := range sum.Bytes {
			all += n
		}
		out.ElsewhereBytes += sum.Elsewhere
		if w := sum.Sweep; w.Bytes > 0 {
			if out.Sweep == nil {
				out.Sweep = new(status.Sweep)
			}
			// What the tier has is told of each process, as if it were alone.
			out.Sweep.Bytes, out.Sweep.FastBytes = out.Sweep.Bytes+w.Bytes, max(out.Sweep.FastBytes, w.Fast)
			out.Sweep.PeriodSeconds = max(out.Sweep.PeriodSeconds, sum.Period)
		}
		out.FixedBytes += fixedBytes(p)
	}
	for i := range out.Tiers {
		known += out.Tiers[i].LiesBytes
	}
	if rest := known + out.FixedBytes; all > rest {
		out.UnknownBytes = all - rest
	}
	for rule, n := range a.Held {
		out.HeldBytes[string(rule)] = n
	}
	for rule, n := range a.Counted {
		out.CountedBytes[string(rule)] = n
	}
	for i := range a.Parts {
		out.Parts = append(out.Parts, t.part(&a.Parts[i]))
	}
	return out
}

// fixedBytes is what of a process must stay. (One region may have several reasons, and counts once.)
func fixedBytes(p *policy.Process) (sum uint64) {
	for i := range p.Regions {
		if r := &p.Regions[i]; r.Flags&(policy.Immovable|policy.Bound|policy.Shared|policy.Rival) != 0 {
			sum += uint64(r.Pages()) * policy.PageSize
		}
	}
	return sum
}

type teller struct {
	a *policy.Account
	s *policy.Snapshot
	m *Machine
}

const (
	// It is worth a word that the best static subset stays if so much of the accesses
	// goes to slower tiers, and so much is used alike there, by what the tier holds;
	muchOutside, muchAlike = 0.125, 0.25
	// and it stays if hardly any of it has other reasons to lie there, or moves.
	fewOthers, hardlyMoves = 0.1, 0.001
)

func (t *teller) tier(i int) status.TierAccount {
	out := status.TierAccount{Tier: t.m.Tiers[i]}
	if i < len(t.a.Lies) {
		for home, n := range t.a.Lies[i] {
			out.LiesBytes += n
			out.BelongBytes += t.a.Lies[home][i]
		}
	}
	if i >= len(t.a.Worth) {
		return out
	}
	w := &t.a.Worth[i]
	capacity := w.Capacity
	out.CapacityBytes = &capacity
	out.Inside = &status.Worthy{Bytes: w.Inside, AccessesPerSecond: finite(w.InsideRate), AlikeBytes: w.AlikeInside}
	out.Outside = &status.Worthy{Bytes: w.Outside, AccessesPerSecond: finite(w.OutsideRate), AlikeBytes: w.AlikeOutside}
	inside, outside := float64(w.Inside)*w.InsideRate, float64(w.Outside)*w.OutsideRate
	out.StaticSubset = capacity > 0 && outside >= muchOutside*(inside+outside) &&
		float64(w.AlikeOutside) >= muchAlike*float64(capacity) && float64(w.Waiting) <= fewOthers*float64(w.Outside) &&
		float64(t.a.Up) <= hardlyMoves*float64(capacity)
	return out
}

func (t *teller) part(p *policy.Part) status.Part {
	out := status.Part{
		PID: t.s.Processes[p.Process].ID.PID, Address: address(p.Addr), Whole: p.Strata == policy.AllStrata, Pages: p.Pages, Bytes: uint64(p.Pages) * policy.PageSize,
		Lies: t.m.place(p.Slot), Belongs: t.m.tier(p.Home), State: string(p.State), Rule: string(p.Rule),
		Rate: rate(p.Rate, p.LogVar), MeanAccessesPerSecond: finite(p.Mean), StableSeconds: number(p.Stable), HotSamples: p.Evidence, WaitSeconds: finite(p.Wait),
		PlannedOnly: !t.s.Processes[p.Process].Enforce, Tests: []status.Test{}, Changes: []status.Change{},
	}
	if p.State == policy.Held {
		out.For = t.m.tier(p.For)
	}
	if p.State == policy.Moving {
		to := t.m.place(p.To)
		out.To = &to
	}
	if p.WantedFrom > 0 {
		v := finite(p.WantedFrom)
		out.WantedFrom = &v
	}
	for i := range p.Tests {
		out.Tests = append(out.Tests, t.test(p, &p.Tests[i]))
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		ch := status.Change{Lever: string(c.Lever), Now: finite(c.From), Needed: finite(c.To), Then: string(c.Then)}
		if c.Lever == policy.LeverRoom || c.Lever == policy.LeverLimit {
			ch.Tier = t.m.tier(c.Tier)
		}
		ch.Says = sayChange(&ch)
		out.Changes = append(out.Changes, ch)
	}
	out.Says = sayPart(&out, t.breaker(p)) + t.huge(p)
	return out
}

// huge says of a huge page that stays in a slower tier what becomes of its parts.
func (t *teller) huge(p *policy.Part) string {
	proc := &t.s.Processes[p.Process]
	i, found := slices.BinarySearchFunc(proc.Regions, p.Addr, func(r policy.Region, addr uint64) int { return cmp.Compare(r.Addr, addr) })
	if !found || proc.Regions[i].Flags&policy.Huge == 0 || p.Tier <= 0 || p.State != policy.Held && p.State != policy.Idle {
		return ""
	}
	const whole = " It is one huge page, and moves as a whole: which of its pages are used would show only if it were split"
	if !t.a.Params.Split {
		return whole + ", which [policy] split does not allow."
	}
	for _, x := range t.a.Plan.Splitting {
		if x.Workload != proc.Workload {
			continue
		}
		switch {
		case x.Rest > 0:
			return fmt.Sprintf("%s; the last %d that were lost %s a second each, so for %s there are no more.", whole, x.Judged, Seconds(-x.Gain), Seconds(x.Rest))
		case x.Judged > 0:
			return fmt.Sprintf("%s; the last %d that were won %s a second each, and %d are being looked at.", whole, x.Judged, Seconds(x.Gain), x.Pending)
		case x.Pending > 0:
			return fmt.Sprintf("%s; %d of the workload's are, on trial.", whole, x.Pending)
		}
	}
	return whole + "."
}

// breaker says why the breaker holds a part, if it does.
func (t *teller) breaker(p *policy.Part) string {
	if p.Rule != policy.VetoBreaker {
		return ""
	}
	for _, b := range t.a.Plan.Thrash.Breakers {
		if b.Workload == t.s.Processes[p.Process].Workload {
			return fmt.Sprintf("the workload's breaker has been open for %s, because %.0f %% of its moves were undone before they had paid; a probe goes every 30 s, or a change of phase half-opens it",
				Seconds(b.Seconds), 100*b.Undone)
		}
	}
	return ""
}

func (t *teller) test(p *policy.Part, test *policy.Test) status.Test {
	out := status.Test{
		Tier: t.m.tier(test.Tier), Rule: string(test.Rule), Skipped: test.Skipped, Victims: test.Victims, LacksBytes: uint64(max(test.Lacks, 0)),
		GainSeconds: finite(test.Gain), CostSeconds: finite(test.Cost), HorizonSeconds: finite(test.Horizon),
	}
	if test.Cost > 0 {
		out.Payback = &status.Against{Value: finite(test.Gain / test.Cost), Least: finite(t.a.Params.Payback)}
	}
	if test.EvidenceNeeded > 0 {
		out.Evidence = &status.Against{Value: float64(p.Evidence), Least: float64(test.EvidenceNeeded)}
	}
	if test.VictimAddr != 0 {
		out.Separation = &status.Against{Value: finite(test.Separation), Least: finite(t.a.Params.Separation)}
		victim := rate(test.VictimRate, test.VictimLogVar)
		out.Victim = &victim
		out.VictimPID, out.VictimAddress = t.s.Processes[test.VictimProcess].ID.PID, address(test.VictimAddr)
	}
	return out
}

// finite is a number that JSON has.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(max(v, -math.MaxFloat64), math.MaxFloat64)
}
