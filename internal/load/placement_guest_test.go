//go:build guest

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The nodes of the emulated machine.
const (
	dramNode = 0
	hbmNode  = 1
	cxlNode  = 2
)

func threeNodes(t *testing.T) {
	t.Helper()
	h, err := DetectHost()
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{dramNode, hbmNode, cxlNode}; !slices.Equal(h.Nodes, want) {
		t.Fatalf("nodes %v, want %v: this test is for the emulated machine of three nodes", h.Nodes, want)
	}
}

// move moves pages to a node. The kernel may be busy with a page at any time,
// so it asks a few times.
func move(t *testing.T, m *Memory, pages []int, node int) {
	t.Helper()
	const flagMove = 1 << 1
	for range 10 {
		var left []int
		for part := range slices.Chunk(pages, chunk) {
			addrs := make([]uintptr, len(part))
			nodes := make([]int32, len(part))
			status := make([]int32, len(part))
			for i, p := range part {
				addrs[i], nodes[i] = uintptr(m.base)+uintptr(p)<<PageShift, int32(node)
			}
			_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, uintptr(len(part)), uintptr(unsafe.Pointer(&addrs[0])),
				uintptr(unsafe.Pointer(&nodes[0])), uintptr(unsafe.Pointer(&status[0])), flagMove)
			if errno != 0 {
				t.Fatalf("move_pages: %v", errno)
			}
			where := make([]int, len(part))
			if err := m.Locate(part, where); err != nil {
				t.Fatal(err)
			}
			for i, n := range where {
				if n != node {
					left = append(left, part[i])
				}
			}
		}
		if pages = left; len(pages) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d pages did not move to node %d", len(pages), node)
}

func TestGuestShareFollowsThePages(t *testing.T) {
	threeNodes(t)
	for _, piece := range []Bytes{2 * MiB, 4 * KiB} {
		t.Run(piece.String(), func(t *testing.T) {
			c := Default()
			c.Size, c.Hot, c.Piece, c.Node = 256*MiB, 48*MiB, piece, cxlNode
			c.Shift = []time.Duration{time.Minute}
			m, err := NewMemory(c.Size, false)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.Touch(t.Context(), c.Node); err != nil {
				t.Fatal(err)
			}
			if mode, err := m.Policy(); err != nil || mode != mpolDefault {
				t.Errorf("policy %d, %v: want the default", mode, err)
			}
			s := NewSurveyor(m, 1)
			schedule := NewSchedule(&c)
			first, second := schedule.At(0).Pattern, schedule.At(time.Minute).Pattern
			expect := func(what string, p Pattern, want map[int]float64) {
				t.Helper()
				got, err := s.Shares(p, c.Samples)
				if err != nil {
					t.Fatal(err)
				}
				for n := range 3 {
					if math.Abs(got.Node[n]-want[n]) > 0.01 {
						t.Errorf("%s: node %d serves %.4f, want %.4f", what, n, got.Node[n], want[n])
					}
				}
			}
			if got, err := s.Exact(m.Pages()); err != nil || got[cxlNode] != int64(c.Size) {
				t.Errorf("at first %v, %v: want all of %v on node %d", got, err, c.Size, cxlNode)
			}
			expect("at first", first, map[int]float64{cxlNode: 1})

			hot := first.Classes()[0]
			pages := make([]int, hot.Pages)
			for i := range pages {
				pages[i] = hot.Page(i)
			}
			move(t, m, pages[:len(pages)/2], hbmNode)
			expect("half of the hot set in HBM", first, map[int]float64{hbmNode: 0.45, cxlNode: 0.55})
			move(t, m, pages[len(pages)/2:], dramNode)
			expect("the other half in DRAM", first, map[int]float64{hbmNode: 0.45, dramNode: 0.45, cxlNode: 0.1})
			move(t, m, pages, hbmNode)
			expect("the hot set in HBM", first, Oracle(first, []Capacity{{hbmNode, c.Hot}, {cxlNode, GiB}}))
			cold := 0.1 * 48 / 208 // the old hot set is a part of the cold pages now
			expect("after the shift", second, map[int]float64{hbmNode: cold, cxlNode: 1 - cold})

			got, err := s.Exact(m.Pages())
			if err != nil || got[hbmNode] != int64(c.Hot) || got[cxlNode] != int64(c.Size-c.Hot) {
				t.Errorf("in the end %v, %v", got, err)
			}
			sampled, err := s.Resident(m.Pages(), c.Samples/2)
			if err != nil || math.Abs(float64(sampled[hbmNode]-got[hbmNode])) > 0.02*float64(c.Size) {
				t.Errorf("sampled %v, %v: exact is %v", sampled, err, got)
			}
		})
	}
}

func TestGuestStartsOnTheAskedNode(t *testing.T) {
	threeNodes(t)
	for _, node := range []int{dramNode, hbmNode, cxlNode} {
		c := Default()
		c.Size, c.Hot, c.Node, c.Duration = 64*MiB, 8*MiB, node, 1500*time.Millisecond
		c.Threads, c.Fast = 2, []int{hbmNode, dramNode}
		var out bytes.Buffer
		if err := Run(t.Context(), &c, &out); err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(out.String(), "\n")
		var s Sample
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if s.T != 0 || s.Share[node] != 1 || s.Resident[node] != int64(c.Size) {
			t.Errorf("node %d: first line %s", node, line)
		}
	}
}

func TestGuestFullNodeIsAnError(t *testing.T) {
	threeNodes(t)
	m, err := NewMemory(192*MiB, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err = m.Touch(ctx, hbmNode)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "node 1: full after") {
		t.Errorf("192 MiB on a node of 128 MiB: %v", err)
	}
	if mode, err := m.Policy(); err != nil || mode != mpolDefault {
		t.Errorf("policy %d, %v: want the default", mode, err)
	}
}
