package metrics

import "github.com/tierd/tierd/internal/status"

// settings are the label values of tierd_thrash_setting: the keys of [thrash].
func settings() []string {
	return []string{"separation", "payback", "max_waste", "window", "breaker", "psi"}
}

func setting(s *status.ThrashSettings, key string) float64 {
	switch key {
	case "separation":
		return s.Separation
	case "payback":
		return s.Payback
	case "max_waste":
		return s.MaxWaste
	case "window":
		return s.WindowSeconds
	case "breaker":
		return s.Breaker
	}
	return s.PSI
}

// thrashDefinitions are those of [thrash]: beside each of its keys one that shows how
// close it is to acting.
func thrashDefinitions() []Definition {
	return []Definition{
		{"tierd_pressure_ratio", Gauge, nil, "Share of the time in which something of the host waited for memory (some, avg10); absent if the kernel does not tell. Above [thrash] psi nothing moves but relief.", func(v *view, emit emitter) {
			if p := v.Thrash.PressureRatio; p != nil {
				emit(*p)
			}
		}},
		{"tierd_promotions_paid_total", Counter, nil, "Promotions that have earned back their cost.", func(v *view, emit emitter) {
			emit(float64(v.Thrash.PaidTotal))
		}},
		{"tierd_promotions_pending", Gauge, nil, "Promotions of which is not known yet whether they pay, or whether they will be undone.", func(v *view, emit emitter) {
			emit(float64(v.Thrash.PendingPromotions))
		}},
		{"tierd_promotions_seconds_total", Counter, nil, "What promotions cost, with the demotions that made room for them.", func(v *view, emit emitter) {
			emit(v.Thrash.SecondsTotal)
		}},
		{"tierd_promotions_undone_total", Counter, nil, "Promotions that were undone within [thrash] window before they had paid.", func(v *view, emit emitter) {
			emit(float64(v.Thrash.UndoneTotal))
		}},
		{"tierd_promotions_wasted_seconds_total", Counter, nil, "What promotions cost that did not earn it back; its rate is the waste that [thrash] max_waste limits.", func(v *view, emit emitter) {
			emit(v.Thrash.WastedSecondsTotal)
		}},
		{"tierd_promotions_wasted_total", Counter, nil, "Promotions that did not earn back their cost before they were undone or their time was up.", func(v *view, emit emitter) {
			emit(float64(v.Thrash.WastedTotal))
		}},
		{"tierd_thrash_budget_ratio", Gauge, nil, "Part of the bytes of a plan that may be used; it falls while the waste is above [thrash] max_waste.", func(v *view, emit emitter) {
			emit(v.Thrash.BudgetRatio)
		}},
		{"tierd_thrash_payback_least_ratio", Gauge, nil, "Least benefit over cost of the promotions in the last plan, absent without one; below [thrash] payback they are not planned.", func(v *view, emit emitter) {
			if p := v.Thrash.LeastPayback; p != nil {
				emit(*p)
			}
		}},
		{"tierd_thrash_ping_pongs_total", Counter, nil, "Moves, paid or not, that undo the last move of their region within [thrash] window.", func(v *view, emit emitter) {
			emit(float64(v.Thrash.PingPongsTotal))
		}},
		{"tierd_thrash_separation", Gauge, nil, "Standard deviations by which a candidate must be hotter than its victim now: [thrash] separation, and more while the waste is above [thrash] max_waste.", func(v *view, emit emitter) {
			emit(v.Thrash.Separation)
		}},
		{"tierd_thrash_setting", Gauge, []string{"key"}, "What is configured for a key of [thrash], shares as 0 to 1 and the window in seconds.", func(v *view, emit emitter) {
			for _, key := range settings() {
				emit(setting(&v.Thrash.Settings, key), key)
			}
		}},
		{"tierd_thrash_waste_ratio", Gauge, nil, "Cost of promotions that did not pay, per time, in the last 5 s; above [thrash] max_waste tierd must be surer and moves less, below a quarter of it that recovers.", func(v *view, emit emitter) {
			emit(v.Thrash.WasteRatio)
		}},
	}
}

// breakerDefinitions are those of workloads.
func breakerDefinitions() []Definition {
	return []Definition{
		{"tierd_workload_breaker_state", Gauge, []string{"workload", "state"}, "1 for the state of the workload's breaker, 0 for the others; [thrash] breaker says when it opens. Open, nothing moves but relief and a probe every 30 s.", func(v *view, emit emitter) {
			for i := range v.groups {
				for _, state := range status.BreakerStates() {
					emit(flag(v.groups[i].breaker == state), v.groups[i].label, state)
				}
			}
		}},
		{"tierd_workload_breaker_trips_total", Counter, []string{"workload"}, "How often the workload's breaker has opened.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.trips) })
		}},
		{"tierd_workload_pressure_ratio", Gauge, []string{"workload"}, "Highest memory pressure (some, avg10) of the cgroups of the workload's processes, absent if unknown; above [thrash] psi a process's memory does not move but for relief.", func(v *view, emit emitter) {
			for i := range v.groups {
				if p := v.groups[i].pressure; p != nil {
					emit(*p, v.groups[i].label)
				}
			}
		}},
		{"tierd_workload_undone_ratio", Gauge, []string{"workload"}, "Share of the workload's moves that were undone before they had paid, in the last window with moves; above [thrash] breaker in three windows in a row the breaker opens.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return g.undone })
		}},
	}
}

// addBreaker lets the worst of a group's workloads speak for it.
func (g *group) addBreaker(b *status.Breaker) {
	worse := func(state string) int {
		for i, s := range status.BreakerStates() {
			if s == state {
				return i
			}
		}
		return 0
	}
	if g.breaker == "" || worse(b.State) > worse(g.breaker) {
		g.breaker = status.BreakerStates()[worse(b.State)]
	}
	g.trips += b.TripsTotal
	g.undone = max(g.undone, b.UndoneRatio)
	if p := b.PressureRatio; p != nil && (g.pressure == nil || *p > *g.pressure) {
		g.pressure = p
	}
}
