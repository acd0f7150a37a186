//go:build guest

package bpf_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/bpf"
)

// shown lists the numbers that programs see.
func shown(t *testing.T, s *bpf.Spaces) (numbers []uint32) {
	t.Helper()
	var mm uint64
	var number uint32
	for _, m := range s.Replace().MapReplacements {
		for all := m.Iterate(); all.Next(&mm, &number); {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// A child of vfork has its parent's address space until it executes something; that it is
// no longer watched must not end the watching of the parent.
func TestGuestSpaceOfTwo(t *testing.T) {
	s, err := bpf.OpenSpaces()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	parent, err := s.Watch(os.Getpid(), 1)
	if err != nil {
		t.Fatal(err)
	}
	child, err := s.Watch(os.Getpid(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, s); len(got) != 1 || got[0] != 2 {
		t.Errorf("both: %v", got)
	}
	child.Close()
	if got := shown(t, s); len(got) != 1 || got[0] != 1 {
		t.Errorf("after the child has gone: %v", got)
	}
	parent.Close()
	if got := shown(t, s); len(got) != 0 {
		t.Errorf("after both have gone: %v", got)
	}
	if _, err := s.Watch(1<<22, 3); err == nil {
		t.Error("no process: no error")
	}
	// A kernel thread has no memory.
	if _, err := s.Watch(2, 3); !errors.Is(err, bpf.ErrGone) {
		t.Errorf("a kernel thread: %v", err)
	}
}

// More address spaces than there is room for are refused, and none that is watched is lost.
func TestGuestNoRoom(t *testing.T) {
	s, err := bpf.OpenSpaces()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, m := range s.Replace().MapReplacements {
		for i := range uint64(m.MaxEntries()) {
			if err := m.Put(i+1, uint32(7)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Watch(os.Getpid(), 1); !errors.Is(err, unix.E2BIG) {
		t.Errorf("no room: %v", err)
	}
}
