// Package users remembers from which node each region of a process is used, by what sources
// hear that know the CPU: hint faults and hardware samples.
//
// A vote is an access that was heard of. Votes fade with a half-life, so that a region whose
// users move has another home before long. Where no node has most of the votes there is no
// home: no place is near to everybody.
package users

import "math"

const (
	// halfLife is in how many seconds votes lose half of their weight.
	halfLife = 30
	// A node is the home with so many votes at least, and this part of all.
	leastVotes, majority = 4, 0.8
	// A region with fewer votes than this is forgotten when there are too many.
	faded = 0.5
	// maxRegions bounds what is remembered of one process.
	maxRegions = 1 << 18
)

// Users is what is known of one process. The zero Users is ready for use, by one goroutine.
type Users struct {
	regions map[uint64]votes
	swept   float64
	lost    uint64
}

// votes are for the node that has most of them, and against it. After Boyer and Moore,
// "MJRTY" (1991): with more than two nodes the count against may be too high for a while,
// and then there is no home.
type votes struct {
	node         int32
	pro, against float32
	at           float32 // in seconds
}

// Hear counts accesses to a region, by its address, from a node. now is in seconds, from
// any origin, and never goes back.
func (u *Users) Hear(addr uint64, node int, n uint32, now float64) {
	v, known := u.regions[addr]
	if !known {
		if u.regions == nil {
			u.regions = map[uint64]votes{}
		}
		if len(u.regions) >= maxRegions && !u.sweep(now) {
			u.lost += uint64(n)
			return
		}
		v.node = int32(node)
	}
	v = v.faded(now)
	if int32(node) == v.node {
		v.pro += float32(n)
	} else if v.against += float32(n); v.against > v.pro {
		v.node, v.pro, v.against = int32(node), v.against, v.pro
	}
	u.regions[addr] = v
}

func (v votes) faded(now float64) votes {
	if dt := now - float64(v.at); dt > 0 {
		part := float32(math.Exp2(-dt / halfLife))
		v.pro, v.against, v.at = v.pro*part, v.against*part, float32(now)
	}
	return v
}

// sweep forgets regions that are no longer used, at most once a half-life, and tells
// whether there is room again.
func (u *Users) sweep(now float64) bool {
	if u.swept > 0 && now-u.swept < halfLife {
		return false
	}
	u.swept = now
	for addr, v := range u.regions {
		if v = v.faded(now); v.pro+v.against < faded {
			delete(u.regions, addr)
		}
	}
	return len(u.regions) < maxRegions
}

// Home is the node from which a region is used; false where it is not known, or used from
// several.
func (u *Users) Home(addr uint64, now float64) (node int, ok bool) {
	v, ok := u.regions[addr]
	if !ok {
		return 0, false
	}
	v = v.faded(now)
	return int(v.node), v.pro >= leastVotes && v.pro >= majority*(v.pro+v.against)
}

// Lost counts the votes for which there was no room.
func (u *Users) Lost() uint64 { return u.lost }

// Len is of how many regions something is known.
func (u *Users) Len() int { return len(u.regions) }
