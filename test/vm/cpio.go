package vm

import (
	"fmt"
	"io"
	"path"
	"strings"
)

// File types of a cpio entry, as in stat(2).
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeSymlink = 0o120000
	modeChar    = 0o020000
)

// A cpioWriter writes the "newc" format that the kernel unpacks as its initramfs: a sequence of a 110 byte
// header in hexadecimal, the name, and the content, the latter two padded to 4 bytes.
type cpioWriter struct {
	w     io.Writer
	inode int
	dirs  map[string]bool
	err   error
}

func newCPIO(w io.Writer) *cpioWriter {
	return &cpioWriter{w: w, dirs: map[string]bool{"/": true, ".": true}}
}

// file adds a regular file with its parent folders.
func (c *cpioWriter) file(name string, perm uint32, data []byte) {
	c.add(name, modeRegular|perm, 0, 0, data)
}

// symlink adds a symbolic link with its parent folders.
func (c *cpioWriter) symlink(name, target string) {
	c.add(name, modeSymlink|0o777, 0, 0, []byte(target))
}

// char adds a character device with its parent folders.
func (c *cpioWriter) char(name string, perm uint32, major, minor int) {
	c.add(name, modeChar|perm, major, minor, nil)
}

// dir adds a folder with its parents, once.
func (c *cpioWriter) dir(name string) {
	name = path.Clean("/" + name)
	if c.dirs[name] {
		return
	}
	c.dirs[name] = true
	c.add(name, modeDir|0o755, 0, 0, nil)
}

func (c *cpioWriter) add(name string, mode uint32, major, minor int, data []byte) {
	name = path.Clean("/" + name)
	c.dir(path.Dir(name))
	c.entry(strings.TrimPrefix(name, "/"), mode, major, minor, data)
}

func (c *cpioWriter) entry(name string, mode uint32, major, minor int, data []byte) {
	if c.err != nil {
		return
	}
	if int64(len(data)) > 1<<32-1 {
		c.err = fmt.Errorf("%s: %d bytes do not fit into a cpio entry", name, len(data))
		return
	}
	c.inode++
	links := 1
	if mode&modeDir != 0 {
		links = 2
	}
	// inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name size, checksum
	c.printf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c.inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	c.printf("%s\x00%s", name, strings.Repeat("\x00", pad4(110+len(name)+1)))
	if c.err == nil {
		_, c.err = c.w.Write(data)
	}
	c.printf("%s", strings.Repeat("\x00", pad4(len(data))))
}

func (c *cpioWriter) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format, args...)
	}
}

func pad4(n int) int { return (4 - n%4) % 4 }

// close ends the archive.
func (c *cpioWriter) close() error {
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}
