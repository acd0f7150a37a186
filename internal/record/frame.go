package record

import (
	"math"
	"time"

	"github.com/tierd/tierd/policy"
)

// Version is that of the format. A reader refuses what is newer, and what is older
// than oldest: version 1 knew regions by pieces of 64 KiB, version 2 nothing of splits,
// and their plans cannot be made again. Version 3 knew nothing of homes.
const (
	Version   = 4
	oldest    = 3
	withHomes = 4
)

const (
	magic    = "tierdrec"
	preamble = len(magic) + 4
	// blockHead is a kind, a length and a checksum.
	blockHead = 1 + 4 + 4

	kindHeader = 'H'
	kindFrames = 'F'
)

// Bounds of what a reader takes.
const (
	// maxBlock bounds a block in the file, maxRaw each of its streams when unpacked.
	maxBlock = 64 << 20
	maxRaw   = 64 << 20
	// maxRegions and maxDetails bound a snapshot, for all processes together.
	maxRegions   = 1 << 22
	maxDetails   = 1 << 18
	maxProcesses = 1 << 16
	maxText      = 4 << 10
)

// Header tells where a recording comes from.
type Header struct {
	// Version is that of the tierd that wrote it.
	Version string `json:"version"`
	// Tiers and Nodes are the machine's, at the begin of the recording.
	Tiers []policy.Tier `json:"tiers"`
	Nodes []policy.Node `json:"nodes"`
	// Run is the same in all that one run of the daemon writes; "" if it is not known.
	Run string `json:"run,omitempty"`
	// Began is when the recording did, by the machine's clock.
	Began time.Time `json:"began,omitzero"`
	// Lost is how many plans could not be recorded just before. Resumed tells that
	// recording was off before, or could not be done.
	Lost    uint64 `json:"lost,omitempty"`
	Resumed bool   `json:"resumed,omitempty"`
}

// Frame is what went into one plan, and a hash of what came out.
type Frame struct {
	// Number counts the plans from the start of the daemon; numbers that are
	// missing were left out.
	Number uint64
	// State is that of the controller when the plan was made, Done told already;
	// nil where it follows from the frame before.
	State []byte
	// Done is what became of the moves of plans before, since the last frame.
	Done     []policy.Done
	Snapshot *policy.Snapshot
	Params   policy.Params
	PlanHash uint32
}

// The streams of a block of frames. Like stands beside like, which packs better.
const (
	streamMisc = iota
	streamGap
	streamMask
	streamRate
	streamVar
	streamEvidence
	streamRegion
	streamDetail
	streams
)

// Bits of a mask: what has changed of a region. A mask of zero is the removal of
// the next one.
const (
	hasRate = 1 << iota
	hasVar
	hasStable
	hasMove
	hasPlacement
	hasEvidence
	hasFlags
	isNew
)

// The same of a part of a region.
const (
	partRate = 1 << iota
	partVar
	partPages
	partPlace
	partEvidence
)

// ticksPerSecond is the resolution of a region's times in the sampler.
const ticksPerSecond = 64

// varianceTicks is in how many ticks the variance of ln(rate) grows by one: the
// sampler counts it in steps of a tick.
const varianceTicks = 12800

// age is a value that grows with the clock, by one in so many ticks: it was zero
// at the tick that it holds. Values that do not run are their bits, below all
// ticks: there are millions of them, and the loop looks at each.
type age int64

// standingBase is what the bits of a value that does not run are added to.
const standingBase = math.MinInt64

func runningSince(tick int64) age { return age(max(tick, standingBase+1<<32)) }
func standing(bits uint32) age    { return age(standingBase + int64(bits)) }

// begin is the tick at which it was zero; false if it does not run.
func (a age) begin() (tick int64, runs bool) { return int64(a), a >= standingBase+1<<32 }

func (a age) bits() uint32 { return uint32(a) }

// value is the age at a tick.
func (a age) value(now int64, perOne float64) float32 {
	at, runs := a.begin()
	if !runs {
		return math.Float32frombits(a.bits())
	}
	return float32(float64(now-at) / perOne)
}

// ageOf is the age that has a value now.
func ageOf(v float32, now int64, perOne float64) age {
	if t := math.Round(float64(v) * perOne); math.Abs(t) < 1<<40 {
		a := runningSince(now - int64(t))
		if same32(a.value(now, perOne), v) {
			return a
		}
	}
	return standing(math.Float32bits(v))
}

func same32(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
func same64(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// memory is a region as the frame before has it.
type memory struct {
	policy.Region
	stable, moved, vari age
}

// newMemory is that of a region that was not there before.
func newMemory(addr uint64) memory {
	return memory{Region: policy.Region{Addr: addr}, stable: standing(0), moved: standing(0), vari: standing(0)}
}

// past is what frames are differences to.
type past struct {
	number    uint64
	seconds   float64
	tick      int64
	tiers     []policy.Tier
	nodes     []policy.Node
	homes     []policy.Home
	workloads []policy.Workload
	moveCost  float64
	phase     float64
	pressure  float64
	params    policy.Params
	procs     []*process
}

type process struct {
	id       policy.ProcessID
	used     bool // by the frame at hand
	workload string
	enforce  bool
	pressure float64
	period   float64
	home     uint8
	regions  []memory
	spare    []memory
	details  []policy.Detail
}

// tickOf is the tick of a time in seconds.
func tickOf(seconds float64) int64 {
	if !(math.Abs(seconds) < 1<<40) {
		return 0
	}
	return int64(math.Floor(seconds * ticksPerSecond))
}
