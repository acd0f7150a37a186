// Package migratetest models the kernel's answers to move_pages(2), and holds the
// conformance suite that the model and the real kernel both pass.
package migratetest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
)

// Machine is a model of a machine's memory: nodes with so many free pages, and
// processes with pages on them. It is a migrate.Pager and a migrate.Room.
type Machine struct {
	// Reserve is what Room keeps back of every node, in bytes.
	Reserve uint64
	// AbsentIsFault answers EFAULT for absent pages, as 6.1 does; else ENOENT.
	AbsentIsFault bool
	// CallTime and PageTime are how long a call takes, and each page that it copies.
	CallTime, PageTime time.Duration
	// BeforeMove and AfterMove, if set, run around each call that moves, with its
	// number, counted from 1. They may change anything.
	BeforeMove, AfterMove func(call int)
	// Moves and Pages count the calls that move, and the pages that they moved.
	Moves, Pages int
	// Log has the number of addresses of each such call.
	Log []int

	mu    sync.Mutex
	free  map[policy.NodeID]int
	procs map[int]*Process
}

var (
	_ migrate.Pager = (*Machine)(nil)
	_ migrate.Room  = (*Machine)(nil)
)

// NewMachine returns a machine with so many free pages on each node.
func NewMachine(free map[policy.NodeID]int) *Machine {
	return &Machine{free: maps.Clone(free), procs: map[int]*Process{}}
}

// folio is what moves as a whole.
type folio struct {
	pages  int
	node   policy.NodeID
	pinned bool
	shared bool
	queued bool
}

// Process is one process of a Machine. It is a migrate.Identity.
type Process struct {
	m       *Machine
	id      policy.ProcessID
	lost    error
	pages   map[uintptr]*folio
	allowed map[policy.NodeID]bool // nil: all
	hidden  bool
}

var _ migrate.Identity = (*Process)(nil)

// Spawn starts a process without memory.
func (m *Machine) Spawn(pid int) *Process {
	p := &Process{m: m, id: policy.ProcessID{PID: pid, Start: 100, Exec: 1}, pages: map[uintptr]*folio{}}
	m.procs[pid] = p
	return p
}

// ID implements [migrate.Identity].
func (p *Process) ID() policy.ProcessID { return p.id }

// Check implements [migrate.Identity].
func (p *Process) Check() error { return p.lost }

// Populate puts pages of its own at addr.
func (p *Process) Populate(addr uintptr, pages int, node policy.NodeID) {
	for i := range pages {
		p.pages[addr+uintptr(i)*policy.PageSize] = &folio{pages: 1, node: node}
	}
	p.m.free[node] -= pages
}

// PopulateFolio puts one folio of several pages at addr.
func (p *Process) PopulateFolio(addr uintptr, pages int, node policy.NodeID) {
	f := &folio{pages: pages, node: node}
	for i := range pages {
		p.pages[addr+uintptr(i)*policy.PageSize] = f
	}
	p.m.free[node] -= pages
}

func (p *Process) at(addr uintptr) *folio {
	f := p.pages[addr]
	if f == nil {
		panic(fmt.Sprintf("no page at %#x", addr))
	}
	return f
}

// Drop makes the page at addr absent.
func (p *Process) Drop(addr uintptr) {
	p.m.free[p.at(addr).node]++
	delete(p.pages, addr)
}

// Pin pins the page at addr, or lets go of it.
func (p *Process) Pin(addr uintptr, pinned bool) { p.at(addr).pinned = pinned }

// Share says whether another process maps the page at addr.
func (p *Process) Share(addr uintptr, shared bool) { p.at(addr).shared = shared }

// Put moves the folio at addr, as somebody else would.
func (p *Process) Put(addr uintptr, node policy.NodeID) { p.m.put(p.at(addr), node) }

// Node is where the page at addr is, or -1.
func (p *Process) Node(addr uintptr) policy.NodeID {
	if f := p.pages[addr]; f != nil {
		return f.node
	}
	return -1
}

// Confine sets the process's cpuset.
func (p *Process) Confine(nodes ...policy.NodeID) {
	p.allowed = map[policy.NodeID]bool{}
	for _, n := range nodes {
		p.allowed[n] = true
	}
}

// Hide takes the right to trace the process from the caller.
func (p *Process) Hide() { p.hidden = true }

// Exit ends the process.
func (p *Process) Exit() {
	p.clear()
	p.lost = process.ErrGone
	delete(p.m.procs, p.id.PID)
}

// Exec gives the process another, empty memory.
func (p *Process) Exec() {
	p.clear()
	p.lost = process.ErrExec
}

// Replace gives the process's number to another process.
func (p *Process) Replace() {
	p.clear()
	p.lost = process.ErrReused
}

func (p *Process) clear() {
	for _, f := range p.pages {
		p.m.free[f.node]++
	}
	clear(p.pages)
}

// Free is the number of free pages of a node.
func (m *Machine) Free(node policy.NodeID) int { return m.free[node] }

// Take takes free pages from a node, as somebody else would; give them back with a
// negative number.
func (m *Machine) Take(node policy.NodeID, pages int) { m.free[node] -= pages }

// Room implements [migrate.Room].
func (m *Machine) Room(node policy.NodeID) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	free, ok := m.free[node]
	if !ok {
		return 0, fmt.Errorf("no node%d", node)
	}
	bytes := uint64(max(0, free)) * policy.PageSize
	return bytes - min(bytes, m.Reserve), nil
}

func (m *Machine) find(pid int) (*Process, error) {
	p := m.procs[pid]
	switch {
	case p == nil:
		return nil, unix.ESRCH
	case p.hidden:
		return nil, unix.EPERM
	}
	return p, nil
}

func (m *Machine) absent() int32 {
	if m.AbsentIsFault {
		return -int32(unix.EFAULT)
	}
	return -int32(unix.ENOENT)
}

// Query implements [migrate.Pager].
func (m *Machine) Query(pid int, addrs []uintptr, status []int32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, err := m.find(pid)
	if err != nil {
		return err
	}
	for i, a := range addrs {
		status[i] = m.absent()
		if f := p.pages[a]; f != nil {
			status[i] = int32(f.node)
		}
	}
	return nil
}

// Move implements [migrate.Pager]: mm/migrate.c, do_pages_move.
func (m *Machine) Move(pid int, addrs []uintptr, nodes, status []int32, flags migrate.Flags) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Moves++
	m.Log = append(m.Log, len(addrs))
	call := m.Moves
	if m.BeforeMove != nil {
		m.BeforeMove(call)
	}
	if m.AfterMove != nil {
		defer func() { m.AfterMove(call) }()
	}
	time.Sleep(m.CallTime)
	p, err := m.find(pid)
	if err != nil {
		return 0, err
	}
	var queue []*folio
	var queueNode policy.NodeID
	start := 0
	// flush migrates the queue, whose pages are those of [start, end).
	flush := func(end int) (int, error) {
		if len(queue) == 0 {
			return 0, nil
		}
		failed, err := m.migrate(p, queue, queueNode)
		queue = queue[:0]
		if err != nil {
			return 0, err
		}
		if failed > 0 {
			return failed + len(addrs) - end, nil
		}
		for i := start; i < end; i++ {
			status[i] = int32(queueNode)
		}
		return 0, nil
	}
	var failure error
	i := 0
	for ; i < len(addrs); i++ {
		node := policy.NodeID(nodes[i])
		if _, ok := m.free[node]; !ok {
			failure = unix.ENODEV
			break
		}
		if p.allowed != nil && !p.allowed[node] {
			failure = unix.EACCES
			break
		}
		if len(queue) > 0 && node != queueNode {
			if n, err := flush(i); n != 0 || err != nil {
				return n, err
			}
		}
		if len(queue) == 0 {
			start = i
		}
		queueNode = node
		f := p.pages[addrs[i]]
		st := int32(node)
		switch {
		case f == nil:
			st = m.absent()
		case f.node == node:
		case f.shared && flags&migrate.MoveAll == 0:
			st = -int32(unix.EACCES)
		case f.queued:
			st = -int32(unix.EBUSY)
		default:
			f.queued = true
			queue = append(queue, f)
			continue
		}
		status[i] = st
		if n, err := flush(i); n != 0 || err != nil {
			if n > 0 {
				n-- // this page is accounted for
			}
			return n, err
		}
	}
	n, err := flush(i)
	if failure != nil {
		return 0, failure
	}
	return n, err
}

// migrate moves folios until the node is full, and returns how many stayed.
func (m *Machine) migrate(p *Process, queue []*folio, node policy.NodeID) (failed int, err error) {
	for _, f := range queue {
		f.queued = false
	}
	for _, f := range queue {
		time.Sleep(time.Duration(f.pages) * m.PageTime)
		switch {
		case f.pinned:
			failed++
		case m.free[node] >= f.pages:
			m.put(f, node)
		case f.pages > 1:
			failed++
			for _, piece := range p.split(f) {
				if m.free[node] == 0 {
					break
				}
				m.put(piece, node)
			}
		default:
			return 0, unix.ENOMEM
		}
	}
	return failed, nil
}

func (m *Machine) put(f *folio, node policy.NodeID) {
	m.free[f.node] += f.pages
	m.free[node] -= f.pages
	f.node = node
	m.Pages += f.pages
}

// split makes a folio into single pages.
func (p *Process) split(f *folio) []*folio {
	var addrs []uintptr
	for a, g := range p.pages {
		if g == f {
			addrs = append(addrs, a)
		}
	}
	slices.Sort(addrs)
	var out []*folio
	for _, a := range addrs {
		piece := &folio{pages: 1, node: f.node, shared: f.shared}
		p.pages[a] = piece
		out = append(out, piece)
	}
	return out
}

// Huge says whether one folio of a region's size is at addr.
func (p *Process) Huge(addr uintptr) bool {
	f := p.pages[addr]
	return f != nil && f.pages == policy.PagesPerRegion
}

// Split makes the folio at addr into single pages.
func (p *Process) Split(addr uintptr) { p.split(p.at(addr)) }
