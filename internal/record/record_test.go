package record

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/policy"
)

func float(t *rapid.T) float64 {
	return rapid.SampledFrom([]float64{
		0, math.Copysign(0, -1), 1, 0.1, -3, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 5e-324, 123.456,
		math.Float64frombits(0x7ff8dead00000001),
	}).Draw(t, "float")
}

func single(t *rapid.T) float32 {
	if rapid.Bool().Draw(t, "odd") {
		return math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
	}
	return float32(rapid.IntRange(0, 1000).Draw(t, "ticks")) / 64
}

// mutate draws the next snapshot: whatever may change, changes now and then.
func mutate(t *rapid.T, s *policy.Snapshot) {
	chance := func() bool { return rapid.IntRange(0, 3).Draw(t, "chance") == 0 }
	number := func(v *float64) {
		if chance() {
			*v = float(t)
		}
	}
	step := rapid.SampledFrom([]float64{0, 0.2, 0.5, 1.0 / 64, -3, 1e9}).Draw(t, "step")
	s.Seconds += step
	number(&s.Seconds)
	number(&s.MoveCost)
	number(&s.SincePhase)
	number(&s.Pressure)
	if chance() {
		s.Tiers = nil
		for range rapid.IntRange(0, 3).Draw(t, "tiers") {
			s.Tiers = append(s.Tiers, policy.Tier{Name: rapid.StringN(0, 9, 20).Draw(t, "tier"), AccessNS: float(t)})
		}
	}
	if chance() {
		s.Nodes = nil
		for range rapid.IntRange(0, 3).Draw(t, "nodes") {
			s.Nodes = append(s.Nodes, policy.Node{
				ID: policy.NodeID(rapid.Int().Draw(t, "node")), Tier: rapid.IntRange(-1, 5).Draw(t, "tier"),
				Size: rapid.Uint64().Draw(t, "size"), Free: rapid.Uint64().Draw(t, "free"), Reserve: rapid.Uint64().Draw(t, "reserve"),
			})
		}
	}
	if chance() {
		s.Workloads = nil
		for range rapid.IntRange(0, 2).Draw(t, "workloads") {
			s.Workloads = append(s.Workloads, policy.Workload{
				Name: rapid.StringN(0, 9, 20).Draw(t, "name"), Weight: float(t),
				Limits: rapid.SliceOfN(rapid.Uint64(), 0, 3).Draw(t, "limits"),
			})
		}
	}
	if chance() {
		s.Homes = nil
		for range rapid.IntRange(0, 2).Draw(t, "homes") {
			s.Homes = append(s.Homes, policy.Home{
				Node: policy.NodeID(rapid.Int().Draw(t, "home")), Stretch: rapid.SliceOfN(rapid.Float64(), 0, 3).Draw(t, "stretch"),
			})
		}
	}
	if chance() && len(s.Processes) > 0 {
		s.Processes = slices.Delete(slices.Clone(s.Processes), 0, 1)
	}
	if len(s.Processes) == 0 || chance() {
		s.Processes = append(slices.Clone(s.Processes), policy.Process{ID: policy.ProcessID{
			PID: rapid.IntRange(-1, 3).Draw(t, "pid"), Start: rapid.Uint64().Draw(t, "start"), Exec: 1,
		}})
	}
	for i := range s.Processes {
		p := &s.Processes[i]
		if chance() {
			p.Workload = rapid.SampledFrom([]string{"", "a", "bb"}).Draw(t, "workload")
			p.Enforce = !p.Enforce
			p.Home = rapid.Uint8().Draw(t, "home")
		}
		number(&p.Pressure)
		for j := range p.Regions {
			r := &p.Regions[j]
			r.Stable += float32(step)
			r.SinceMove += float32(step)
			if chance() {
				region(t, r)
			}
		}
		switch rapid.IntRange(0, 4).Draw(t, "list") {
		case 0:
			for range rapid.IntRange(0, 4).Draw(t, "new") {
				var r policy.Region
				r.Addr = rapid.Uint64Range(0, 20).Draw(t, "addr") * policy.RegionSize
				if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
					r.Addr = rapid.Uint64().Draw(t, "odd addr")
				}
				region(t, &r)
				p.Regions = append(slices.Clone(p.Regions), r)
			}
			slices.SortFunc(p.Regions, func(a, b policy.Region) int { return int(int64(a.Addr - b.Addr)) })
		case 1:
			if n := len(p.Regions); n > 0 {
				at := rapid.IntRange(0, n-1).Draw(t, "gone")
				p.Regions = slices.Delete(slices.Clone(p.Regions), at, at+1)
			}
		}
		if n := rapid.IntRange(0, 6).Draw(t, "details"); n < 3 {
			old := p.Details
			p.Details = make([]policy.Detail, n)
			copy(p.Details, old)
		}
		for j := range p.Details {
			if chance() {
				k := rapid.IntRange(0, policy.MaxPortions-1).Draw(t, "part")
				p.Details[j][k] = policy.Portion{
					Rate: single(t), LogVar: single(t), Pages: rapid.Uint16().Draw(t, "pages"),
					Slot: policy.Slot(rapid.Uint8().Draw(t, "slot")), Stratum: rapid.Uint8().Draw(t, "stratum"), Went: policy.Way(rapid.Uint8().Draw(t, "went")), Evidence: rapid.Uint8().Draw(t, "evidence"),
				}
			}
		}
	}
}

func region(t *rapid.T, r *policy.Region) {
	r.Rate, r.LogVar = single(t), single(t)
	if rapid.Bool().Draw(t, "more") {
		r.Stable, r.SinceMove = single(t), single(t)
		r.Placement[1] = policy.SlotPages{Pages: rapid.Uint16().Draw(t, "pages"), Slot: policy.Slot(rapid.Uint8().Draw(t, "slot"))}
		r.Evidence, r.Flags = rapid.Uint8().Draw(t, "evidence"), rapid.Uint8().Draw(t, "flags")
		r.Detail, r.Home = rapid.Int32().Draw(t, "detail"), rapid.Uint8().Draw(t, "home")
	}
}

func clone(s *policy.Snapshot) *policy.Snapshot {
	c := *s
	c.Tiers, c.Nodes, c.Workloads = slices.Clone(s.Tiers), slices.Clone(s.Nodes), cloneWorkloads(s.Workloads)
	c.Homes = cloneHomes(s.Homes)
	c.Processes = slices.Clone(s.Processes)
	for i := range c.Processes {
		c.Processes[i].Regions = slices.Clone(c.Processes[i].Regions)
		c.Processes[i].Details = slices.Clone(c.Processes[i].Details)
	}
	return &c
}

// exact holds numbers to their bits.
var exact = []cmp.Option{
	cmp.Comparer(func(a, b float64) bool { return same64(a, b) }),
	cmp.Comparer(func(a, b float32) bool { return same32(a, b) }),
	cmpopts.EquateEmpty(),
}

func parameters(t *rapid.T) policy.Params {
	p := policy.DefaultParams()
	p.Budget = rapid.Uint64().Draw(t, "budget")
	if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		p.Payback, p.EvidenceFill = float(t), rapid.Int().Draw(t, "evidence")
	}
	return p
}

// What is read is bit by bit what was written.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, err := Preamble(&Header{Version: "1"})
		if err != nil {
			t.Fatal(err)
		}
		var frames []Frame
		s, e := &policy.Snapshot{}, NewEncoder()
		number := uint64(0)
		for range rapid.IntRange(1, 8).Draw(t, "frames") {
			number += rapid.Uint64Range(1, 3).Draw(t, "number")
			mutate(t, s)
			f := Frame{Number: number, Snapshot: clone(s), Params: parameters(t), PlanHash: rapid.Uint32().Draw(t, "hash")}
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				block, err := e.Block()
				if err != nil {
					t.Fatal(err)
				}
				file = append(file, block...)
				e.Restart()
			}
			if e.Fresh() || rapid.IntRange(0, 3).Draw(t, "state") == 0 {
				f.State = rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "state")
			}
			for range rapid.IntRange(0, 2).Draw(t, "done") {
				f.Done = append(f.Done, policy.Done{
					ID: policy.ProcessID{PID: 1}, Addr: rapid.Uint64().Draw(t, "addr"), Strata: rapid.Uint8().Draw(t, "strata"),
					To: 3, Kind: policy.Demotion, Pages: rapid.Int().Draw(t, "pages"), Seconds: float(t),
				})
			}
			e.Frame(&f)
			frames = append(frames, f)
			if rapid.Bool().Draw(t, "block") {
				block, err := e.Block()
				if err != nil {
					t.Fatal(err)
				}
				file = append(file, block...)
			}
		}
		block, err := e.Block()
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, block...)

		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		for i := range frames {
			got, err := r.Next()
			if err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			if diff := cmp.Diff(&frames[i], got, exact...); diff != "" {
				t.Fatalf("frame %d (-written +read):\n%s", i, diff)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("after the end: %v", err)
		}
	})
}

// short is a small recording of so many blocks, and where each ends.
func short(t interface{ Fatal(...any) }, blocks int) (file []byte, ends []int) {
	file, err := Preamble(&Header{Version: "1", Tiers: []policy.Tier{{Name: "dram"}}})
	if err != nil {
		t.Fatal(err)
	}
	ends = append(ends, len(file))
	var c policy.Controller
	r := NewRecorder(func(b []byte) bool {
		file = append(file, b...)
		ends = append(ends, len(file))
		return true
	})
	s := &policy.Snapshot{
		Tiers: []policy.Tier{{Name: "fast", AccessNS: 100}, {Name: "slow", AccessNS: 300}},
		Nodes: []policy.Node{{Tier: 0, Size: 1 << 30, Free: 1 << 30}, {ID: 1, Tier: 1, Size: 1 << 30, Free: 1 << 30}},
		Processes: []policy.Process{{ID: policy.ProcessID{PID: 1}, Workload: "a", Regions: []policy.Region{
			{Addr: 2 << 20, Rate: 1e4, LogVar: 0.1, Evidence: 255, Detail: -1, Placement: [3]policy.SlotPages{{Pages: 512, Slot: 1}}},
			{Addr: 4 << 20, Rate: 1, LogVar: 0.1, Evidence: 255, Detail: 0, Placement: [3]policy.SlotPages{{Pages: 512, Slot: 1}}},
		}, Details: make([]policy.Detail, 1)}},
		SincePhase: math.Inf(1), Pressure: math.NaN(),
	}
	for range blocks {
		s.Seconds += 2
		s.Processes[0].Regions[1].Rate *= 1.7
		p := policy.DefaultParams()
		p.Budget = 1 << 30
		r.Decide(&c, s, p)
		r.Flush()
	}
	return file, ends
}

// read plays a recording and returns how many frames it has.
func read(t *testing.T, file []byte) (frames int, err error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return 0, err
	}
	var p Player
	for {
		f, err := r.Next()
		if err != nil {
			return frames, err
		}
		frames++
		if _, same, err := p.Play(f); err != nil || !same {
			t.Fatalf("frame %d: same %v, %v", frames, same, err)
		}
	}
}

// Wherever a file is cut off, all whole blocks are read, and the tear is noticed.
func TestTorn(t *testing.T) {
	file, ends := short(t, 5)
	for n := range file {
		whole := -1
		for whole+1 < len(ends) && ends[whole+1] <= n {
			whole++
		}
		frames, err := read(t, file[:n])
		switch {
		case n == 0:
			if !errors.Is(err, ErrForeign) {
				t.Fatalf("nothing: %v", err)
			}
		case whole >= 0 && ends[whole] == n:
			if err != io.EOF || frames != whole {
				t.Fatalf("cut between blocks at %d: %d frames, %v", n, frames, err)
			}
		case !errors.Is(err, ErrTorn) || frames != max(whole, 0):
			t.Fatalf("cut at %d: %d frames, %v", n, frames, err)
		}
	}
}

// A damaged byte is noticed, and nothing after it is believed.
func TestDamaged(t *testing.T) {
	file, ends := short(t, 5)
	for n := range file {
		bad := bytes.Clone(file)
		bad[n] ^= 0x40
		r, err := NewReader(bytes.NewReader(bad))
		frames := 0
		for err == nil {
			if _, err = r.Next(); err == nil {
				frames++
			}
		}
		if n >= len(magic)+1 && n < preamble {
			continue // reserved: means nothing yet
		}
		if err == io.EOF {
			t.Fatalf("byte %d: not noticed", n)
		}
		if n >= ends[0] && ends[frames] > n {
			t.Fatalf("byte %d: %d frames read", n, frames)
		}
	}
}

func TestNewerAndForeign(t *testing.T) {
	file, _ := short(t, 1)
	file[len(magic)] = Version + 1
	if _, err := NewReader(bytes.NewReader(file)); !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
	for _, text := range []string{"", "x", "tierdrex-and-more", "\x7fELF\x02\x01\x01"} {
		if _, err := NewReader(bytes.NewReader([]byte(text))); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Recordings one after the other are one.
func TestJoined(t *testing.T) {
	file, _ := short(t, 3)
	if n, err := read(t, append(bytes.Clone(file), file...)); n != 6 || err != io.EOF {
		t.Errorf("%d frames, %v", n, err)
	}
}

// What a slow sink drops is counted, and what follows can be read.
func TestDropped(t *testing.T) {
	file, ends := short(t, 0)
	var c policy.Controller
	refuse := false
	r := NewRecorder(func(b []byte) bool {
		if !refuse {
			file, ends = append(file, b...), append(ends, 0)
		}
		return !refuse
	})
	s := &policy.Snapshot{}
	for i := range 9 {
		refuse = i == 3 || i == 4
		s.Seconds++
		r.Decide(&c, s, policy.DefaultParams())
		r.Flush()
	}
	if got := r.Stats(); got.Dropped != 2 || got.Frames != 7 {
		t.Errorf("%+v", got)
	}
	if n, err := read(t, file); n != 7 || err != io.EOF {
		t.Errorf("%d frames, %v", n, err)
	}
}

func FuzzReader(f *testing.F) {
	file, ends := short(f, 3)
	f.Add(file)
	f.Add(file[:ends[0]])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data))
		var p Player
		for n := 0; err == nil && n < 100; n++ {
			var frame *Frame
			if frame, err = r.Next(); err == nil {
				_, _, _ = p.Play(frame)
			}
		}
	})
}

// FuzzFrames is the reader behind its checksums and its compression.
func FuzzFrames(f *testing.F) {
	file, ends := short(f, 1)
	var raw [streams][]byte
	if _, err := new(unpacker).block(file[ends[0]+blockHead:], &raw); err != nil {
		f.Fatal(err)
	}
	f.Add(raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], raw[6], raw[7])
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g, h, i []byte) {
		in := Decoder{left: 3, version: Version}
		for k, s := range [][]byte{a, b, c, d, e, g, h, i} {
			in.in[k].b = s
		}
		var p Player
		for {
			frame, err := in.next()
			if err != nil || frame == nil {
				return
			}
			_, _, _ = p.Play(frame)
		}
	})
}

// A recording of before there were homes plays as it did.
func TestVersion3(t *testing.T) {
	file, err := os.ReadFile("testdata/version3.rec")
	if err != nil {
		t.Fatal(err)
	}
	if frames, err := read(t, file); frames != 3 || err != io.EOF {
		t.Errorf("%d frames, %v; want 3", frames, err)
	}
}
