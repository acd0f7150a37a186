package hostfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of what one read may return, in bytes.
const (
	smallFile  = 4 << 10  // one value, or a few lines
	mediumFile = 64 << 10 // statistics of one object
	largeFile  = 4 << 20  // statistics of every zone or every resource of the host
	direntBuf  = 32 << 10
	maxDirents = 1 << 22 // as many as there can be processes
)

// ErrTooLong is wrapped by the error of a read that met its bound.
var ErrTooLong = errors.New("longer than expected")

// Value is a number that the kernel may not have given. The zero Value is "unknown".
type Value struct {
	N  uint64
	OK bool
}

// Known returns a Value that is known to be n.
func Known(n uint64) Value { return Value{N: n, OK: true} }

// FS reads one host: the running one, or a copy of its files below a folder.
type FS struct {
	root string // absolute or relative, without a trailing slash; "" is the running host
	bufs sync.Pool
}

// New returns a reader of the host whose files are below root. The running host is "" or "/".
// Nothing is opened before the first read.
func New(root string) *FS {
	root = strings.TrimRight(root, "/")
	return &FS{
		root: root,
		bufs: sync.Pool{New: func() any { b := make([]byte, direntBuf); return &b }},
	}
}

// Live says whether f reads the running host.
func (f *FS) Live() bool { return f.root == "" }

// Root returns the folder below which f reads; "/" for the running host.
func (f *FS) Root() string {
	if f.root == "" {
		return "/"
	}
	return f.root
}

// Path returns the name of a host file for a person, or for a system call that needs one.
// It does not confine symbolic links to the root; the read methods do.
func (f *FS) Path(rel string) string { return f.root + "/" + strings.TrimLeft(rel, "/") }

// Open returns a descriptor of a host file, which the caller closes. flags are those of
// open(2); O_CLOEXEC, O_NONBLOCK and O_NOCTTY are added, so that a FIFO or a
// terminal in a copied tree cannot hold the caller. Use unix.Read and unix.Write on it, not os.NewFile.
func (f *FS) Open(rel string, flags int) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := f.open(rel, flags)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: f.Path(rel), Err: err}
	}
	return fd, nil
}

func (f *FS) open(rel string, flags int) (int, error) {
	if f.root == "" {
		name := "/" + strings.TrimLeft(rel, "/")
		return retry(func() (int, error) { return unix.Open(name, flags, 0) })
	}
	dir, err := retry(func() (int, error) {
		return unix.Open(f.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	how := unix.OpenHow{
		Flags:   uint64(flags),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	name := strings.TrimLeft(rel, "/")
	if name == "" {
		name = "."
	}
	return retry(func() (int, error) { return unix.Openat2(dir, name, &how) })
}

// retry repeats a call that a signal interrupted. EAGAIN is not repeated: see the package comment.
// openat2 answers EAGAIN when a rename elsewhere raced with a "..", which a few more tries settle.
func retry(call func() (int, error)) (int, error) {
	for tries := 0; ; tries++ {
		n, err := call()
		if err == unix.EINTR && tries < 100 {
			continue
		}
		return n, err
	}
}

// ReadInto reads a host file into buf and returns how much of buf it filled. A file that does not
// fit fills buf and gives an error that wraps [ErrTooLong].
func (f *FS) ReadInto(rel string, buf []byte) (int, error) {
	fd, err := f.Open(rel, unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	n := 0
	for n < len(buf) {
		// Pseudo-files give at most a page or so per call: read until the end.
		m, err := retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return n, &fs.PathError{Op: "read", Path: f.Path(rel), Err: err}
		}
		if m <= 0 {
			return n, nil
		}
		n += m
	}
	return n, &fs.PathError{Op: "read", Path: f.Path(rel), Err: ErrTooLong}
}

// ReadFile reads a host file of less than limit bytes.
func (f *FS) ReadFile(rel string, limit int) ([]byte, error) {
	// Most files are tiny: start small and grow, so that a generous limit costs nothing.
	fd, err := f.Open(rel, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, min(limit, smallFile))
	n := 0
	for {
		if n == len(buf) {
			if n >= limit {
				return nil, &fs.PathError{Op: "read", Path: f.Path(rel), Err: ErrTooLong}
			}
			grown := make([]byte, min(limit, 4*len(buf)))
			copy(grown, buf)
			buf = grown
		}
		m, err := retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: f.Path(rel), Err: err}
		}
		if m <= 0 {
			return buf[:n], nil
		}
		n += m
	}
}

// ReadDir returns the names in a host folder, sorted.
func (f *FS) ReadDir(rel string) ([]string, error) {
	var names []string
	err := f.eachName(rel, func(name []byte) {
		names = append(names, string(name))
	})
	slices.Sort(names)
	return names, err
}

// eachName calls visit with each name in a folder, in the kernel's order. visit must not keep its argument.
func (f *FS) eachName(rel string, visit func(name []byte)) error {
	fd, err := f.Open(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	bp := f.bufs.Get().(*[]byte)
	defer f.bufs.Put(bp)
	for seen := 0; seen < maxDirents; {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, *bp) })
		if err != nil {
			return &fs.PathError{Op: "readdir", Path: f.Path(rel), Err: err}
		}
		if n <= 0 {
			return nil
		}
		seen += eachDirent((*bp)[:n], visit)
	}
	return &fs.PathError{Op: "readdir", Path: f.Path(rel), Err: ErrTooLong}
}

// eachDirent walks the records of getdents64(2): inode 8, offset 8, length 2, type 1, name, NUL.
func eachDirent(b []byte, visit func(name []byte)) int {
	seen := 0
	for len(b) >= 19 {
		size := int(hostOrder16(b[16], b[17]))
		if size < 20 || size > len(b) {
			return seen
		}
		name := b[19:size]
		for i, c := range name {
			if c == 0 {
				name = name[:i]
				break
			}
		}
		b = b[size:]
		seen++
		if s := string(name); s == "." || s == ".." || s == "" {
			continue
		}
		visit(name)
	}
	return seen
}

// Readlink returns where a symbolic link points, as written in it.
func (f *FS) Readlink(rel string) (string, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	var err error
	if f.root == "" {
		n, err = unix.Readlink(f.Path(rel), buf)
	} else {
		var fd int
		fd, err = f.open(rel, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		if err == nil {
			// With an empty name readlinkat reads the link that the descriptor is.
			n, err = unix.Readlinkat(fd, "", buf)
			unix.Close(fd)
			if err == unix.ENOENT {
				err = unix.EINVAL // what readlink says of a thing that is no link
			}
		}
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: f.Path(rel), Err: err}
	}
	return string(buf[:n]), nil
}

// Resolve returns the path, from the root and without a leading slash, that rel leads to when all
// symbolic links are followed.
func (f *FS) Resolve(rel string) (string, error) {
	target, err := f.descriptorPath(rel)
	if err != nil {
		return "", err
	}
	root, err := f.descriptorPath("")
	if err != nil {
		return "", err
	}
	target, ok := strings.CutPrefix(target, strings.TrimRight(root, "/")+"/")
	if !ok {
		return "", &fs.PathError{Op: "resolve", Path: f.Path(rel), Err: fs.ErrNotExist}
	}
	return target, nil
}

// descriptorPath asks the running kernel which file a descriptor stands for.
func (f *FS) descriptorPath(rel string) (string, error) {
	fd, err := f.open(rel, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: f.Path(rel), Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf)
	if err != nil {
		return "", &fs.PathError{Op: "resolve", Path: f.Path(rel), Err: err}
	}
	return string(buf[:n]), nil
}

// IsGone says whether err means that the process or device went away: it is not there (ENOENT), or it
// left between the opening and the reading of its file (ESRCH, ENODEV).
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV)
}

// PageSize returns the size of the running host's base page. A copied tree does not say what its
// host's was: ok is false.
func (f *FS) PageSize() (size int, ok bool) {
	if !f.Live() {
		return 0, false
	}
	return os.Getpagesize(), true
}

// read reads a file and hands it to a parser, and names the file in the parser's error.
func read[T any](f *FS, rel string, limit int, parse func([]byte) (T, error)) (T, error) {
	b, err := f.ReadFile(rel, limit)
	if err != nil {
		var none T
		return none, err
	}
	v, err := parse(b)
	if err != nil {
		return v, fmt.Errorf("%s: %w", f.Path(rel), err)
	}
	return v, nil
}

// numbered returns the numbers N of the names prefixN in a folder, ascending.
func (f *FS) numbered(dir, prefix string) ([]int, error) {
	var ids []int
	err := f.eachName(dir, func(name []byte) {
		if s, ok := strings.CutPrefix(string(name), prefix); ok && s != "" {
			if n, ok := atoi([]byte(s)); ok && n <= maxListID {
				ids = append(ids, n)
			}
		}
	})
	slices.Sort(ids)
	return ids, err
}

// atoi reads a number of digits only: no sign, no blank, nothing after it.
func atoi(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func join(elem ...string) string { return path.Join(elem...) }
