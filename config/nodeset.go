package config

import (
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// MaxNode is the highest NUMA node number: the kernel's largest NODES_SHIFT is 10.
const MaxNode = 1023

// NodeSet is a set of NUMA nodes, 0 to [MaxNode]. Its text is the kernel's
// list format: "0-1,4". The zero value is the empty set. Sets are comparable
// with ==.
type NodeSet struct {
	bits [(MaxNode + 1) / 64]uint64
}

// NodeSetOf returns the set of the given nodes. Numbers outside 0 to [MaxNode]
// are left out: no such node exists.
func NodeSetOf(nodes ...int) NodeSet {
	var s NodeSet
	for _, n := range nodes {
		s.add(n)
	}
	return s
}

// ParseNodeSet reads a node list such as "0-1,4". Its errors are of type *[ValueError].
func ParseNodeSet(text string) (NodeSet, error) {
	var s NodeSet
	err := s.UnmarshalText([]byte(text))
	return s, err
}

// UnmarshalText reads a node list such as "0-1,4". An empty list, a node that
// is named twice and a node above [MaxNode] are errors.
func (s *NodeSet) UnmarshalText(text []byte) error {
	const hint = `say "0-1,4"`
	list := strings.TrimSpace(string(text))
	if list == "" {
		return valueErrorf(hint, "the node list is empty")
	}
	var set NodeSet
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		from, to, isRange := strings.Cut(part, "-")
		lo, err := nodeNumber(from, list)
		if err != nil {
			return err
		}
		hi := lo
		if isRange {
			if hi, err = nodeNumber(to, list); err != nil {
				return err
			}
		}
		if hi < lo {
			return valueErrorf("write the lower node first", "%s is a range from high to low", quote(part))
		}
		for n := lo; n <= hi; n++ {
			if set.Has(n) {
				return valueErrorf("", "node %d is named twice", n)
			}
			set.add(n)
		}
	}
	*s = set
	return nil
}

func nodeNumber(s, list string) (int, *ValueError) {
	const hint = `say "0-1,4"`
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, valueErrorf(hint, "%s is not a node list", quote(list))
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > MaxNode {
		return 0, valueErrorf("", "node %s is above %d, the highest that the kernel has", bounded(s), MaxNode)
	}
	return n, nil
}

// bounded shortens text that is known to be plain.
func bounded(s string) string {
	if len(s) > 24 {
		return s[:24] + "…"
	}
	return s
}

func (s *NodeSet) add(n int) {
	if n >= 0 && n <= MaxNode {
		s.bits[n/64] |= 1 << (n % 64)
	}
}

// Has reports whether n is in the set.
func (s NodeSet) Has(n int) bool {
	return n >= 0 && n <= MaxNode && s.bits[n/64]&(1<<(n%64)) != 0
}

// Len returns the number of nodes in the set.
func (s NodeSet) Len() int {
	n := 0
	for _, w := range s.bits {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether the set has no node.
func (s NodeSet) Empty() bool { return s == NodeSet{} }

// All yields the nodes in ascending order.
func (s NodeSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s.bits {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// Slice returns the nodes in ascending order.
func (s NodeSet) Slice() []int {
	out := make([]int, 0, s.Len())
	for n := range s.All() {
		out = append(out, n)
	}
	return out
}

// Union returns the nodes that are in s or in t.
func (s NodeSet) Union(t NodeSet) NodeSet {
	for i := range s.bits {
		s.bits[i] |= t.bits[i]
	}
	return s
}

// Intersect returns the nodes that are in both.
func (s NodeSet) Intersect(t NodeSet) NodeSet {
	for i := range s.bits {
		s.bits[i] &= t.bits[i]
	}
	return s
}

// Minus returns the nodes that are in s but not in t.
func (s NodeSet) Minus(t NodeSet) NodeSet {
	for i := range s.bits {
		s.bits[i] &^= t.bits[i]
	}
	return s
}

// Equal reports whether both sets hold the same nodes.
func (s NodeSet) Equal(t NodeSet) bool { return s == t }

// String gives the kernel's list format; the empty set is "".
func (s NodeSet) String() string {
	var b strings.Builder
	for n := 0; n <= MaxNode; n++ {
		if !s.Has(n) {
			continue
		}
		last := n
		for s.Has(last + 1) {
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(n))
		if last > n {
			b.WriteString("-" + strconv.Itoa(last))
		}
		n = last
	}
	return b.String()
}

// MarshalText gives the same text as String; UnmarshalText reads it back,
// except for the empty set, which no key accepts.
func (s NodeSet) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
