package record

import (
	"encoding/binary"
	"hash/fnv"
	"math"

	"github.com/tierd/tierd/policy"
)

// Hash is that of what a plan asks for: the moves with their reasons, the
// splits, and the boundaries by which the sampler is steered.
func Hash(p *policy.Plan) uint32 {
	h := fnv.New64a()
	var b []byte
	u := func(v uint64) { b = binary.AppendUvarint(b, v) }
	f := func(v float32) { b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v)) }
	u(uint64(len(p.Moves)))
	for i := range p.Moves {
		m := &p.Moves[i]
		u(uint64(m.ID.PID))
		u(m.ID.Start)
		u(m.ID.Exec)
		u(m.Addr)
		u(uint64(m.Strata))
		u(uint64(m.From))
		u(uint64(m.To))
		u(uint64(m.Pages))
		u(uint64(m.Kind))
		b = append(append(b, m.Reason.Rule...), 0)
		f(m.Reason.Rate)
		f(m.Reason.VictimRate)
		f(m.Reason.Separation)
		f(m.Reason.Payback)
		_, _ = h.Write(b) // it never fails
		b = b[:0]
	}
	for _, v := range p.Boundaries {
		f(v)
	}
	for i := range p.Splits {
		x := &p.Splits[i]
		u(uint64(x.ID.PID))
		u(x.ID.Start)
		u(x.ID.Exec)
		u(x.Addr)
	}
	_, _ = h.Write(b)
	sum := h.Sum64()
	return uint32(sum ^ sum>>32)
}
