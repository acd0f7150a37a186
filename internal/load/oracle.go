package load

import "sort"

// Capacity is what a node can hold.
type Capacity struct {
	Node  int
	Bytes Bytes
}

// Oracle is the best placement there is: the share of the accesses that each
// node would serve if the hottest pages were on the first node of caps until it
// is full, the next ones on the second, and so on. What fits nowhere is in no
// node's share.
func Oracle(p Pattern, caps []Capacity) map[int]float64 {
	classes := append([]Class(nil), p.Classes()...)
	// A hot set with a small share may be colder than the rest.
	sort.SliceStable(classes, func(i, j int) bool {
		return classes[i].Prob*float64(classes[j].Pages) > classes[j].Prob*float64(classes[i].Pages)
	})
	share := make(map[int]float64, len(caps))
	if len(classes) == 0 {
		return share
	}
	used := 0 // pages of classes[0] that have a place
	for _, c := range caps {
		room := int(c.Bytes >> PageShift)
		share[c.Node] += 0
		for room > 0 && len(classes) > 0 {
			take := min(room, classes[0].Pages-used)
			share[c.Node] += classes[0].Head(used+take) - classes[0].Head(used)
			room -= take
			if used += take; used == classes[0].Pages {
				classes, used = classes[1:], 0
			}
		}
	}
	return share
}
