package damon

import (
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
)

const (
	// enough is how many looks at a region make a sample worth telling.
	enough = 10
	// spread is by how much the variance of ln(rate) grows with ln of the regions that DAMON
	// takes for one.
	spread = 0.25
	// maxBlocks bounds how many regions are told of one of DAMON's.
	maxBlocks = 1 << 15
)

// blocks collects what is said of stretches of an address space by regions of 2 MiB.
type blocks map[uint64]*block

// block is how often a region was looked at, and found accessed: parts of looks, where DAMON's
// regions are larger.
type block struct{ looks, hits, noise float64 }

// say joins that a stretch was looked at so often, each time at a page anywhere in it.
func (b blocks) say(start, end uint64, looks, hits int) {
	if start >= end || looks <= 0 || end > 1<<57 || (end-start)>>21 > maxBlocks {
		return
	}
	hits = min(hits, looks)
	size := float64(end - start)
	noise := spread * math.Log(max(size/policy.RegionSize, 1))
	for at := start &^ (policy.RegionSize - 1); at < end; at += policy.RegionSize {
		part := float64(min(at+policy.RegionSize, end)-max(at, start)) / size
		x := b[at]
		if x == nil {
			x = &block{}
			b[at] = x
		}
		x.looks, x.hits, x.noise = x.looks+part*float64(looks), x.hits+part*float64(hits), max(x.noise, noise)
	}
}

// take tells of the regions that were looked at often enough, by address, and forgets those.
func (b blocks) take(window float64) (list []sampler.Heard) {
	for at, x := range b {
		if x.looks < enough {
			continue
		}
		h := sampler.Heard{Addr: at, Pages: int(math.Round(x.looks)), Window: window, Noise: x.noise}
		h.Accessed = min(int(math.Round(x.hits)), h.Pages)
		list = append(list, h)
		delete(b, at)
	}
	slices.SortFunc(list, func(a, b sampler.Heard) int {
		if a.Addr < b.Addr {
			return -1
		}
		return 1
	})
	return list
}
