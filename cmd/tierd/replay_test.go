package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/policy"
)

// recordings writes a recording with some moves into a folder, and what may be
// wrong with one.
func recordings(dir string) error {
	s := &policy.Snapshot{
		Tiers: []policy.Tier{{Name: "hbm", AccessNS: 100}, {Name: "cxl", AccessNS: 300}},
		Nodes: []policy.Node{{Tier: 0, Size: 1 << 30, Free: 1 << 30}, {ID: 1, Tier: 1, Size: 1 << 30, Free: 1 << 30}},
		Processes: []policy.Process{{ID: policy.ProcessID{PID: 7, Start: 1}, Workload: "train", Regions: []policy.Region{{
			Addr: 2 << 20, Rate: 1e4, LogVar: 0.1, Stable: 60, SinceMove: float32(math.Inf(1)), Evidence: 255, Detail: -1,
			Placement: [3]policy.SlotPages{{Pages: 512, Slot: 1}},
		}}}},
		SincePhase: math.Inf(1), Pressure: math.NaN(),
	}
	whole, err := record.Preamble(&record.Header{Version: "1.2", Tiers: s.Tiers, Nodes: s.Nodes})
	if err != nil {
		return err
	}
	other := bytes.Clone(whole)
	r := record.NewRecorder(func(b []byte) bool { whole = append(whole, b...); return true })
	e := record.NewEncoder()
	p := policy.DefaultParams()
	p.Budget = 1 << 30
	var c policy.Controller
	for i := range 20 {
		s.Seconds++
		state, err := c.MarshalBinary()
		if err != nil {
			return err
		}
		plan := r.Decide(&c, s, p)
		r.Flush()
		f := record.Frame{Number: uint64(i + 1), State: state, Snapshot: s, Params: p, PlanHash: record.Hash(plan)}
		if i == 10 {
			f.PlanHash ^= 1
		}
		e.Frame(&f)
		for _, m := range plan.Moves {
			done := []policy.Done{{ID: m.ID, Addr: m.Addr, Strata: m.Strata, From: m.From, To: m.To, Kind: m.Kind, Pages: m.Pages, Seconds: 1e-3}}
			c.Done(done)
			r.Done(done)
			s.Processes[0].Regions[0].Placement[0].Slot = m.To
		}
	}
	block, err := e.Block()
	if err != nil {
		return err
	}
	newer := bytes.Clone(whole)
	newer[8]++
	for name, b := range map[string][]byte{
		"whole": whole, "torn": whole[:len(whole)-1], "other": append(other, block...), "newer": newer, "empty": nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".rec"), b, 0o644); err != nil {
			return err
		}
	}
	ring := filepath.Join(dir, "ring")
	if err := os.Mkdir(ring, 0o700); err != nil {
		return err
	}
	for name, b := range map[string][]byte{
		"tierd-00000002-20260601T000000Z.rec": whole, "tierd-00000003-20260101T000000Z.rec": whole[:len(whole)-1],
		"tierd-00000010-20250101T000000Z.rec": whole, "notes.txt": []byte("mine"),
	} {
		if err := os.WriteFile(filepath.Join(ring, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestHits(t *testing.T) {
	if _, ok := hits(&policy.Plan{}, 1); ok {
		t.Error("hits of nothing")
	}
	p, ok := hits(&policy.Plan{Processes: []policy.Summary{{Heat: []float64{3, 1}}, {Heat: []float64{0, 0}}}}, 1)
	if !ok || p.Ratio[0] != 0.75 || p.Ratio[1] != 0.25 {
		t.Errorf("%+v", p)
	}
}
