package migrate

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/policy"
)

// Result is what became of a page that a move asked for. The names are labels in
// metrics, the status and the documentation.
type Result uint8

// The results. Every page has exactly one.
const (
	// Moved: it is on the target now, and was not before.
	Moved Result = iota
	// Already: it was on the target before.
	Already
	// Absent: there is no page (never touched, swapped out, unmapped).
	Absent
	// Elsewhere: it is on a node that the move does not speak of, or was put back
	// by the kernel as soon as it had moved.
	Elsewhere
	// Busy: the kernel refused it (EBUSY): pinned, locked or under I/O.
	Busy
	// Shared: several processes map it and the target does not allow that (EACCES
	// for the page).
	Shared
	// Denied: the target node is outside the cpuset of the process (EACCES for the
	// call, now or within the last minutes).
	Denied
	// NoMemory: the kernel found no free page on the target (ENOMEM).
	NoMemory
	// NoRoom: the target has nothing left above its reserve; not tried.
	NoRoom
	// NoRights: the caller may not move the process's memory (EPERM).
	NoRights
	// Gone: the process exited before it could be known where the page is.
	Gone
	// Exec: the process executed another program before that.
	Exec
	// Reused: the process's number belongs to another process.
	Reused
	// Unattempted: out of time, held back after refusals, or behind an error.
	Unattempted
	// Other: anything else; the outcome's error says what.
	Other
	// NumResults is the number of results.
	NumResults
)

var resultNames = [NumResults]string{
	"moved", "already", "absent", "elsewhere", "busy", "shared", "denied", "no_memory",
	"no_room", "no_rights", "gone", "exec", "reused", "unattempted", "other",
}

func (r Result) String() string {
	if r < NumResults {
		return resultNames[r]
	}
	return fmt.Sprintf("result(%d)", uint8(r))
}

// ResultNames lists the names of all results, in the order of their values.
func ResultNames() []string { return append([]string(nil), resultNames[:]...) }

// Outcome is what became of one move. Pages are counted in units of
// policy.PageSize.
type Outcome struct {
	// Pages is how many pages the move asked for, whether present or not. ByResult
	// adds up to it.
	Pages    int
	ByResult [NumResults]int
	// Moved and Bytes are what is on the target now and was not before. In
	// observe mode: what would be.
	Moved int
	Bytes uint64
	// There is which pages are on the target, also those that were before; as far
	// as it is known, and in observe mode: would be.
	There policy.PageSet
	// Duration is the move's share of the time spent in the calls that move. The
	// time spent waiting for the rate limit is not in it.
	Duration time.Duration
	// Err is nil, or the first error met; usually an *Error. Pages that are busy,
	// absent, elsewhere or without room are no error.
	Err error
}

// Requested is how many pages a move asks for.
func Requested(m *policy.Move) int {
	if m.Huge {
		return policy.PagesPerRegion
	}
	return m.Set.Count()
}

// Error is a refusal of the kernel, explained.
type Error struct {
	PID    int
	Node   policy.NodeID // the target
	Result Result
	Err    error // of the system call, or of the check of the identity
}

func (e *Error) Error() string {
	var what string
	switch e.Result {
	case Shared:
		what = "several processes map the pages"
	case Denied:
		what = "the node is outside the cpuset of the process"
	case NoMemory:
		what = "the node has no page to give"
	case NoRights:
		what = "not allowed to move its memory"
	case Gone, Exec, Reused:
		if !errors.Is(e.Err, unix.ESRCH) && !errors.Is(e.Err, unix.EINVAL) {
			return fmt.Sprintf("move to node%d: %v", e.Node, e.Err)
		}
		what = "no such process any more"
	default:
		return fmt.Sprintf("process %d: move to node%d: %v", e.PID, e.Node, e.Err)
	}
	return fmt.Sprintf("process %d: move to node%d: %s: %v", e.PID, e.Node, what, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what an operator can do, or is empty.
func (e *Error) Hint() string {
	switch e.Result {
	case Shared:
		return "set shared = true in the workload to move memory that several processes map"
	case Denied:
		return fmt.Sprintf("add node %d to cpuset.mems of the process's cgroup (Mems_allowed_list in its status shows what is allowed), or take the node's tier from the workload", e.Node)
	case NoMemory:
		return fmt.Sprintf("raise the reserve of node %d's tier; something else fills the node faster than tierd can see", e.Node)
	case NoRights:
		return "give tierd CAP_SYS_PTRACE for processes of other users, and CAP_SYS_NICE for shared memory; in a container also hostPID"
	case Gone:
		return "nothing to do: its memory went with it"
	case Exec, Reused:
		return "nothing to do: it is looked at afresh"
	}
	switch {
	case errors.Is(e.Err, unix.ENOSYS):
		return "the kernel lacks CONFIG_NUMA or CONFIG_MIGRATION, or a seccomp filter hides move_pages"
	case errors.Is(e.Err, unix.ENODEV):
		return fmt.Sprintf("node %d has no memory now; was it taken offline?", e.Node)
	}
	return ""
}

// ofPage is the result that the status of one page means.
func ofPage(errno unix.Errno) Result {
	switch errno {
	case unix.ENOENT, unix.EFAULT:
		return Absent
	case unix.EBUSY:
		return Busy
	case unix.EACCES:
		return Shared
	case unix.ENOMEM:
		return NoMemory
	}
	return Other
}

// ofCall is the result that the error of a whole call means.
func ofCall(err error) Result {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return Other
	}
	switch errno {
	case unix.EACCES:
		return Denied
	case unix.ENOMEM:
		return NoMemory
	case unix.EPERM:
		return NoRights
	case unix.ESRCH, unix.EINVAL: // EINVAL: exiting, its memory is already gone
		return Gone
	}
	return Other
}

// ofCheck is the result that a failed check of the identity means.
func ofCheck(err error) Result {
	switch {
	case errors.Is(err, process.ErrGone):
		return Gone
	case errors.Is(err, process.ErrReused):
		return Reused
	case errors.Is(err, process.ErrExec):
		return Exec
	}
	return Other
}

// ends says whether a result means that no further move of the process can succeed.
func (r Result) ends() bool {
	return r == Gone || r == Exec || r == Reused || r == NoRights
}
