package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

// sayPart puts how a part of a region stands into a sentence or two. Why, if not "",
// is why it is held.
func sayPart(p *status.Part, why string) string {
	lies := placeText(p.Lies)
	use := perSecond(p.Rate.AccessesPerSecond)
	switch policy.State(p.State) {
	case policy.Unknown:
		return fmt.Sprintf("It lies in %s, and no sample has seen it yet.", lies)
	case policy.Outside:
		return fmt.Sprintf("It lies on node %d, which is in no tier: tierd leaves it alone.", p.Lies.Node)
	case policy.Moving:
		if p.PlannedOnly {
			return fmt.Sprintf("It would move from %s to %s by the rule %s, were its workload not only observed: %s.", lies, placeText(*p.To), p.Rule, use)
		}
		return fmt.Sprintf("It moves from %s to %s in this plan, by the rule %s: %s.", lies, placeText(*p.To), p.Rule, use)
	case policy.AtHome:
		return fmt.Sprintf("It lies in %s, where it belongs: %s.%s", lies, use, wantedFrom(p))
	case policy.Idle:
		return fmt.Sprintf("It lies in %s, and is used too little to pay for the way to %s: %s.%s", lies, p.Belongs, use, wantedFrom(p))
	case policy.Guest:
		return fmt.Sprintf("It lies in %s and would belong in %s: %s. It stays until something hotter needs the place, or memory is short.", lies, p.Belongs, use)
	case policy.Fixed:
		return fmt.Sprintf("It lies in %s and is not wanted in a faster tier: %s. It could not move either: %s.", lies, use, Meaning(p.Rule))
	}
	if why == "" {
		why = whyHeld(p)
	}
	text := fmt.Sprintf("It lies in %s and is wanted in %s, but stays: %s.", lies, p.For, why)
	if n := len(p.Tests); n > 0 && p.Tests[n-1].Tier != p.For && p.Tests[n-1].Rule != "" && p.Tests[n-1].Rule != p.Rule {
		text += fmt.Sprintf(" Nor does it go to %s (%s).", p.Tests[n-1].Tier, Meaning(p.Tests[n-1].Rule))
	}
	switch {
	case len(p.Changes) > 0:
		var parts []string
		for i := range p.Changes {
			parts = append(parts, p.Changes[i].Says)
		}
		text += " What would change that: " + strings.Join(parts, "; or ") + "."
	case beyondTierd(p.Rule):
	default:
		text += " Nothing that was tried changes that."
	}
	return text
}

func beyondTierd(rule string) bool {
	switch policy.Rule(rule) {
	case policy.VetoImmovable, policy.VetoBound, policy.VetoShared, policy.VetoRival, policy.VetoBreaker:
		return true
	}
	return false
}

func wantedFrom(p *status.Part) string {
	if p.WantedFrom == nil || *p.WantedFrom <= p.Rate.AccessesPerSecond {
		return ""
	}
	return fmt.Sprintf(" A faster tier would want it from %s accesses/s on.", Figure(*p.WantedFrom))
}

// whyHeld says by which numbers a part is held back.
func whyHeld(p *status.Part) string {
	var t status.Test
	for i := range p.Tests {
		if p.Tests[i].Tier == p.For {
			t = p.Tests[i]
		}
	}
	if t.Skipped {
		return fmt.Sprintf("hundreds of hotter regions had failed before it (%s), so it was not tried", Meaning(p.Rule))
	}
	use := Figure(p.Rate.AccessesPerSecond) + " accesses/s per page"
	switch policy.Rule(p.Rule) {
	case policy.VetoEvidence:
		if t.Evidence != nil {
			return fmt.Sprintf("it was hot in %s of the last 8 samples, and %s are needed", Figure(t.Evidence.Value), Figure(t.Evidence.Least))
		}
	case policy.VetoCooldown:
		if p.WaitSeconds > 0 {
			return fmt.Sprintf("it moved a short while ago, and %s of its cool-down are left", Seconds(p.WaitSeconds))
		}
	case policy.VetoPayback:
		if t.Payback != nil {
			return fmt.Sprintf("%s would earn %s times what the way to %s costs, over the %s that it is expected to stay so, and %s are needed",
				use, Figure(t.Payback.Value), t.Tier, Seconds(t.HorizonSeconds), Figure(t.Payback.Least))
		}
	case policy.VetoSeparation:
		switch {
		case t.Separation != nil && t.Victim.AccessesPerSecond >= p.Rate.AccessesPerSecond:
			return fmt.Sprintf("%s are no more than the %s of what could leave %s", use, Figure(t.Victim.AccessesPerSecond), t.Tier)
		case t.Separation != nil:
			return fmt.Sprintf("%s are not surely more than the %s of what could leave %s: by %s standard deviations, and %s are needed",
				use, Figure(t.Victim.AccessesPerSecond), t.Tier, Figure(t.Separation.Value), Figure(t.Separation.Least))
		}
	}
	return Meaning(p.Rule)
}

// meanings says what a rule means that holds memory back.
var meanings = map[policy.Rule]string{
	policy.VetoEvidence:   "not yet seen hot often enough",
	policy.VetoLimit:      "its workload may hold no more of the tier",
	policy.VetoShare:      "what is colder there is within the share of another workload",
	policy.VetoSeparation: "not surely hotter than what would have to leave",
	policy.VetoSweep:      "each training step uses it once, as it does what would have to leave; the whole does not fit, as many accesses are served whichever part is there, and so what is there stays",
	policy.VetoPayback:    "would not earn back its cost",
	policy.VetoRoom:       "there is no room for it, or none for what would have to leave",
	policy.VetoCooldown:   "moved a short while ago",
	policy.VetoBudget:     "the budget of this plan is used up by hotter memory; its turn may come with the next",
	policy.VetoImmovable:  "the kernel refuses to move it again and again, as it does with memory pinned for devices; tierd tries again ever more rarely",
	policy.VetoBound:      "its owner has bound it by a memory policy of its own, which tierd respects",
	policy.VetoRival:      "somebody else has moved its pages of late, and tierd leaves it to them",
	policy.VetoShared:     "several processes map it, or a file backs it, and such memory is left alone",
	policy.VetoBreaker:    "the workload's breaker is open, because most of its moves were undone before they had paid; a probe goes every 30 s",
	policy.VetoPressure:   "memory is short, above [thrash] psi, and nothing moves but to relieve that",
}

// Meaning says what a rule means that holds memory back; the rule itself if it is
// none of those.
func Meaning(rule string) string {
	if m := meanings[policy.Rule(rule)]; m != "" {
		return m
	}
	return rule
}

// sayChange says what something would have to be.
func sayChange(c *status.Change) string {
	var text string
	switch policy.Lever(c.Lever) {
	case policy.LeverRate:
		text = fmt.Sprintf("a rate of %s accesses/s per page (now %s)", Figure(c.Needed), Figure(c.Now))
	case policy.LeverNoise:
		text = fmt.Sprintf("a log variance of %s (now %s), as more samples bring it", Figure(c.Needed), Figure(c.Now))
	case policy.LeverSamples:
		text = fmt.Sprintf("%s more samples that see it hot", Figure(c.Needed-c.Now))
	case policy.LeverStable:
		text = fmt.Sprintf("to stay as it is until it has been so for %s (now %s)", Seconds(c.Needed), Seconds(c.Now))
	case policy.LeverTime:
		text = fmt.Sprintf("to wait for %s", Seconds(c.Needed))
	case policy.LeverMoveCost:
		text = fmt.Sprintf("moves that cost %s a page (now %s)", Seconds(c.Needed), Seconds(c.Now))
	case policy.LeverRoom:
		text = fmt.Sprintf("%s more of free memory in %s", size(uint64(c.Needed)), c.Tier)
	case policy.LeverBudget:
		text = fmt.Sprintf("%s in a plan (now %s)", size(uint64(c.Needed)), size(uint64(c.Now)))
	case policy.LeverLimit:
		text = fmt.Sprintf("a limit of %s in %s (now %s)", size(uint64(c.Needed)), c.Tier, size(uint64(c.Now)))
	case policy.LeverWeight:
		text = fmt.Sprintf("a weight of %s for its workload (now %s)", Figure(c.Needed), Figure(c.Now))
	case policy.LeverPressure:
		text = fmt.Sprintf("a memory pressure of %s %% (now %s %%)", Figure(100*c.Needed), Figure(100*c.Now))
	}
	if c.Then != "" {
		text += fmt.Sprintf(", but then the rule %s would hold it", c.Then)
	}
	return text
}

// SayRegion sums up the account of a region.
func SayRegion(a *status.Account) string {
	if len(a.Parts) == 0 {
		return "Nothing of this region is in memory."
	}
	first := &a.Parts[0]
	head := fmt.Sprintf("Region %s of process %d (%s)", first.Address, first.PID, a.Workload)
	if len(a.Parts) == 1 {
		return head + ": " + lower(first.Says)
	}
	return fmt.Sprintf("%s is in %d parts; the hottest, of %s: %s", head, len(a.Parts), size(first.Bytes), lower(first.Says))
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// SayAccount sums up the account of a process or workload.
func SayAccount(name string, a *status.Account) string {
	var b strings.Builder
	var total, away uint64
	var lies []string
	for i := range a.Tiers {
		t := &a.Tiers[i]
		total += t.LiesBytes
		if t.LiesBytes > 0 {
			lies = append(lies, fmt.Sprintf("%s in %s", size(t.LiesBytes), t.Tier))
		}
	}
	var held uint64
	rules := slices.Sorted(maps.Keys(a.HeldBytes))
	slices.SortStableFunc(rules, func(x, y string) int {
		return cmp.Compare(a.HeldBytes[y], a.HeldBytes[x])
	})
	for _, n := range a.HeldBytes {
		held += n
	}
	if total == 0 {
		fmt.Fprintf(&b, "%s has no memory that is known and may move", name)
	} else {
		fmt.Fprintf(&b, "%s has %s that may move: %s", name, size(total), strings.Join(lies, ", "))
	}
	if away = a.FixedBytes + a.UnknownBytes + a.ElsewhereBytes; away > 0 {
		fmt.Fprintf(&b, "; and %s that is fixed, not known yet, or in no tier", size(away))
	}
	b.WriteString(".")
	switch {
	case total == 0:
	case held == 0:
		b.WriteString(" Nothing is wanted in a faster tier that is held back.")
	default:
		fmt.Fprintf(&b, " %s are wanted in a faster tier and held back, %s by the rule %s: %s.",
			size(held), mostly(a.HeldBytes[rules[0]], held), rules[0], Meaning(rules[0]))
	}
	if a.UpBytes+a.DownBytes > 0 {
		fmt.Fprintf(&b, " %s go up and %s down in the present plan.", size(a.UpBytes), size(a.DownBytes))
	}
	b.WriteString(saySweep(a))
	for i := range a.Tiers {
		if t := &a.Tiers[i]; t.StaticSubset {
			in, out := float64(t.Inside.Bytes)*t.Inside.AccessesPerSecond, float64(t.Outside.Bytes)*t.Outside.AccessesPerSecond
			fmt.Fprintf(&b, " About %.0f %% of its accesses go to memory outside %s, and rightly so: %s are used alike, and %s can hold %s of that. "+
				"To exchange one for another would cost and win nothing: the best static subset stays.",
				100*out/(in+out), t.Tier, size(t.Inside.AlikeBytes+t.Outside.AlikeBytes), t.Tier, size(min(*t.CapacityBytes, max(t.Inside.AlikeBytes, 1<<20))))
			break
		}
	}
	return b.String()
}

// saySweep says what each training step uses once, and what comes of that.
func saySweep(a *status.Account) string {
	w := a.Sweep
	if w == nil || len(a.Tiers) == 0 {
		return ""
	}
	s := fmt.Sprintf(" Each of its training steps, of %.3g s, uses %s once", w.PeriodSeconds, size(w.Bytes))
	if w.Bytes <= w.FastBytes {
		return s + fmt.Sprintf("; that has room in %s, beside what is used all the time.", a.Tiers[0].Tier)
	}
	return s + fmt.Sprintf(", more than the %s that %s has for it: whichever part is there, as many accesses are served, so what is there stays.", size(w.FastBytes), a.Tiers[0].Tier)
}

func mostly(part, all uint64) string {
	if part == all {
		return "all"
	}
	return fmt.Sprintf("%d %%", 100*part/all)
}
