package load

import (
	"fmt"
	"math"
)

// Placement tells where pages lie.
type Placement interface {
	// Locate writes the node of each page, or -1 for a page that is nowhere
	// now: swapped out, or on its way between nodes.
	Locate(pages, nodes []int) error
}

// Shares is where the accesses of a pattern go.
type Shares struct {
	Node   map[int]float64 // the share that each node serves
	Absent float64         // the share that goes to pages that are nowhere
	Err    float64         // one standard deviation of the worst of the shares
}

const (
	// minDraws is the fewest pages asked of a class, however rarely it is accessed.
	minDraws = 64
	// A first look takes a part of the draws, and is enough when its error is
	// at most enoughErr: always, when pieces lie on one node as a whole.
	firstPart = 4
	enoughErr = 0.004
)

// Surveyor measures a placement by asking about a sample of the pages. Each
// class gets draws by its probability, spread evenly along its pages, and
// counts with its exact probability: only the placement within a class is estimated.
type Surveyor struct {
	where Placement
	rand  Rand
	pages []int
	nodes []int
}

// NewSurveyor starts a surveyor. It is not safe for concurrent use.
func NewSurveyor(where Placement, seed uint64) *Surveyor {
	return &Surveyor{where: where, rand: NewRand(seed, math.MaxUint64)}
}

// Shares measures with about the given number of draws, or with a quarter of
// them where that is enough.
func (s *Surveyor) Shares(p Pattern, draws int) (Shares, error) {
	first, err := s.shares(p, max(draws/firstPart, 1))
	if err != nil || first.Err <= enoughErr {
		return first, err
	}
	return s.shares(p, draws)
}

func (s *Surveyor) shares(p Pattern, draws int) (Shares, error) {
	out := Shares{Node: map[int]float64{}}
	variance := map[int]float64{}
	for _, c := range p.Classes() {
		if c.Prob <= 0 || c.Pages == 0 {
			continue
		}
		m := max(int(math.Round(float64(draws)*c.Prob)), minDraws)
		if c.Even() {
			m = min(m, c.Pages)
		}
		exact := c.Even() && m == c.Pages
		nodes, err := s.ask(c, m)
		if err != nil {
			return Shares{}, err
		}
		for i, n := range nodes {
			if n < 0 {
				out.Absent += c.Prob / float64(m)
			} else {
				out.Node[n] += c.Prob / float64(m)
			}
			// The draws are spread evenly, so what differs between
			// neighbours is all that chance can have got wrong.
			if i > 0 && n != nodes[i-1] && !exact {
				v := c.Prob * c.Prob / (2 * float64(m) * float64(m-1))
				variance[n] += v
				variance[nodes[i-1]] += v
			}
		}
	}
	for _, v := range variance {
		out.Err = max(out.Err, math.Sqrt(v))
	}
	return out, nil
}

// Resident measures how many pages of the memory each node holds. With at
// least as many draws as pages the answer is exact.
func (s *Surveyor) Resident(pages, draws int) (map[int]int64, error) {
	m := min(pages, draws)
	all := uniform{total: pages}.Classes()[0]
	count, err := s.count(all, m)
	if err != nil {
		return nil, err
	}
	out := make(map[int]int64, len(count))
	for node, n := range count {
		if node >= 0 {
			out[node] = int64(math.Round(float64(n)/float64(m)*float64(pages))) << PageShift
		}
	}
	return out, nil
}

// ask asks about m pages of a class, one from each m-th part of its accesses,
// in the order of the class. The answer is valid until the next call.
func (s *Surveyor) ask(c Class, m int) ([]int, error) {
	s.pages = s.pages[:0]
	for i := range m {
		at := i
		if !c.Even() || m < c.Pages {
			at = c.At((float64(i) + s.rand.Float64()) / float64(m))
		}
		s.pages = append(s.pages, c.Page(at))
	}
	if cap(s.nodes) < m {
		s.nodes = make([]int, m)
	}
	nodes := s.nodes[:m]
	if err := s.where.Locate(s.pages, nodes); err != nil {
		return nil, err
	}
	// A page that is on its way has arrived a moment later.
	var index, again []int
	for i, n := range nodes {
		if n < 0 {
			index, again = append(index, i), append(again, s.pages[i])
		}
	}
	if len(again) > 0 {
		answer := make([]int, len(again))
		if err := s.where.Locate(again, answer); err != nil {
			return nil, err
		}
		for i, n := range answer {
			nodes[index[i]] = n
		}
	}
	return nodes, nil
}

// count asks, and counts the pages of each node.
func (s *Surveyor) count(c Class, m int) (map[int]int, error) {
	nodes, err := s.ask(c, m)
	if err != nil {
		return nil, err
	}
	count := map[int]int{}
	for _, n := range nodes {
		count[n]++
	}
	return count, nil
}

// Exact counts every page of the memory, a part at a time.
func (s *Surveyor) Exact(pages int) (map[int]int64, error) {
	const part = 1 << 15
	out := map[int]int64{}
	for from := 0; from < pages; from += part {
		n := min(part, pages-from)
		count, err := s.count(Class{Prob: 1, Pages: n, page: func(i int) int { return from + i }}, n)
		if err != nil {
			return nil, fmt.Errorf("page %d and on: %w", from, err)
		}
		for node, k := range count {
			if node >= 0 {
				out[node] += int64(k) << PageShift
			}
		}
	}
	return out, nil
}
