package migrate

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProbe(t *testing.T) {
	if err := Probe(Kernel{}); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skipf("this sandbox has no move_pages: %v", err)
	} else if err != nil {
		t.Error(err)
	}
}

type answering struct {
	status int32
	err    error
}

func (a answering) Query(_ int, _ []uintptr, status []int32) error {
	if a.status != sentinel {
		status[0] = a.status
	}
	return a.err
}

func (a answering) Move(int, []uintptr, []int32, []int32, Flags) (int, error) { return 0, a.err }

func TestProbeFails(t *testing.T) {
	for _, a := range []answering{{0, unix.ENOSYS}, {-int32(unix.EFAULT), nil}, {sentinel, nil}} {
		if err := Probe(a); err == nil {
			t.Errorf("%+v: no error", a)
		}
	}
}

func TestKernelRefusesNonsense(t *testing.T) {
	one := make([]int32, 1)
	for name, call := range map[string]func() error{
		"lengths differ": func() error { return Kernel{}.Query(0, make([]uintptr, 2), one) },
		"no nodes":       func() error { _, err := Kernel{}.Move(0, make([]uintptr, 1), nil, one, MoveOwn); return err },
		"negative pid":   func() error { return Kernel{}.Query(-1, make([]uintptr, 1), one) },
	} {
		if err := call(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Kernel{}).Query(0, nil, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
}
