package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// folder is where segments lie. Names have no separators.
type folder interface {
	// check says why nothing should be written here any more, or to the file of that
	// name, which create has returned. Without a name it looks at the folder only.
	check(name string, f file) error
	list() ([]entry, error)
	// create makes a file that was not there.
	create(name string) (file, error)
	// remove is content with a file that is not there.
	remove(name string) error
	close() error
}

type file interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

type entry struct {
	name    string
	size    int64
	regular bool
}

const (
	folderMode = 0o700 // of one that is made
	fileMode   = 0o640
)

// disk is a real folder. What is done in it does not leave it, whatever links lie
// there.
type disk struct {
	path string
	root *os.Root
	lock *os.File // nil where it is only read
}

var _ folder = (*disk)(nil)

// openDisk opens a folder, and makes it if it is the last part of the path that is
// missing. The error says what is wrong with it.
func openDisk(path string) (folder, error) {
	if err := os.Mkdir(path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &disk{path: path, root: root}
	if err := errors.Join(d.check("", nil), d.own()); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// own keeps other processes from writing there: each would know half of the size.
func (d *disk) own() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	d.lock = f
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: another tierd records to it", d.path)
	}
	if err != nil {
		return &fs.PathError{Op: "flock", Path: d.path, Err: err}
	}
	return nil
}

func (d *disk) check(name string, f file) error {
	at, err := os.Lstat(d.path)
	if err != nil {
		return err
	}
	if at.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("%s: is a symbolic link", d.path)
	}
	info, err := d.root.Stat(".")
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	if !os.SameFile(at, info) {
		return fmt.Errorf("%s: is not the directory any more that it was", d.path)
	}
	st, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !known:
		return fmt.Errorf("%s: its owner is not known", d.path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s: belongs to user %d, who could change what is recorded", d.path, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s: is writable by group or others", d.path)
	}
	if f == nil {
		return nil
	}
	at, err = d.root.Lstat(name)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	if own, ok := f.(*os.File); ok {
		info, err := own.Stat()
		if err != nil {
			return err
		}
		if !os.SameFile(at, info) {
			return fmt.Errorf("%s: %s was replaced", d.path, name)
		}
	}
	return nil
}

func (d *disk) list() ([]entry, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	var list []entry
	for _, name := range names {
		if _, _, ok := parseName(name); !ok {
			continue
		}
		info, err := d.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.path, err)
		}
		list = append(list, entry{name, info.Size(), info.Mode().IsRegular()})
	}
	return list, nil
}

func (d *disk) create(name string) (file, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	return f, nil
}

func (d *disk) remove(name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	return nil
}

func (d *disk) close() error {
	if d.lock != nil {
		d.lock.Close() // nothing was written to it
	}
	return d.root.Close()
}
