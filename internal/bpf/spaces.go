package bpf

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ErrGone: the process has exited, or has no address space any more.
var ErrGone = errors.New("process is gone")

// Spaces are the address spaces of which programs count something. It belongs to one goroutine.
type Spaces struct {
	coll *ebpf.Collection
	buf  []byte
	// watched has those of each mm; the last is shown to the programs. There are several while
	// a child of vfork still runs in its parent's.
	watched map[uint64][]*Space
}

// Space is one of them.
type Space struct {
	s      *Spaces
	mm     uint64
	number uint32
}

// OpenSpaces loads what finds the address space of a process.
func OpenSpaces() (*Spaces, error) {
	spec, err := loadFind()
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, err
	}
	return &Spaces{coll: coll, buf: make([]byte, 64), watched: map[uint64][]*Space{}}, nil
}

// Replace is for the loading of programs that have a map "spaces" (of the address of a struct mm_struct
// to a number of 32 bits, 16384 entries): they see what is watched here.
func (s *Spaces) Replace() ebpf.CollectionOptions {
	return ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{findMapSpaces: s.coll.Maps[findMapSpaces]}}
}

// Watch begins to show the programs the address space that the thread group leader pid has now, by a
// number. After an execve the process has another one.
func (s *Spaces) Watch(pid int, number uint32) (*Space, error) {
	fd, err := LinkTask(s.coll.Programs[findProgFind].FD(), pid)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	found := s.coll.Variables[findVarFound]
	if err := found.Set(uint64(0)); err != nil {
		return nil, err
	}
	if err := RunIter(fd, s.buf, false, nil); err != nil {
		return nil, err
	}
	p := &Space{s: s, number: number}
	if err := found.Get(&p.mm); err != nil {
		return nil, err
	}
	if p.mm == 0 {
		return nil, ErrGone
	}
	if err := s.coll.Maps[findMapSpaces].Put(p.mm, number); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	s.watched[p.mm] = append(s.watched[p.mm], p)
	return p, nil
}

// Close ends the watching of one.
func (p *Space) Close() {
	spaces := p.s.coll.Maps[findMapSpaces]
	left := slices.DeleteFunc(p.s.watched[p.mm], func(o *Space) bool { return o == p })
	if len(left) == 0 {
		delete(p.s.watched, p.mm)
		_ = spaces.Delete(p.mm)
		return
	}
	p.s.watched[p.mm] = left
	_ = spaces.Put(p.mm, left[len(left)-1].number)
}

// Close forgets all.
func (s *Spaces) Close() { s.coll.Close() }
