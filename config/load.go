package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Load reads a configuration from a file. tierd runs with privileges and does
// what the file says, so it refuses one that somebody else could have written:
// the file must be a regular one, belong to root or to the user that tierd
// runs as, be writable by its owner only, and not lie in a directory where
// everybody may exchange files. These refusals are [Problems], too. An error
// of the operating system is returned as it is (errors.Is with
// [fs.ErrNotExist] works).
func Load(path string) (*Config, error) {
	// Opened once and judged by the descriptor, so that nobody can exchange the
	// file between the check and the reading. Not blocking, as it may be a FIFO.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "fstat", Path: path, Err: err}
	}
	if p := judgeFile(path, &st, os.Geteuid()); p != nil {
		return nil, Problems{*p}
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// judgeFile says why a file cannot be trusted; nil if it can.
func judgeFile(path string, st *unix.Stat_t, euid int) *Problem {
	p := &Problem{File: path}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		p.Message = "is not a regular file"
	case st.Uid != 0 && int(st.Uid) != euid:
		p.Message = fmt.Sprintf("belongs to user %d, who could change what tierd does", st.Uid)
		p.Hint = "chown root " + path
	case st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0:
		p.Message = "is writable by group or others"
		p.Hint = "chmod go-w " + path
	case st.Size > MaxFileSize:
		p.Message = "is larger than 1MiB"
	default:
		return nil
	}
	return p
}

// checkPath looks at the directory that the name is in and, where the name is
// a symbolic link, at the link and at the directory that it leads to.
func checkPath(path string) error {
	dirs := []string{filepath.Dir(path)}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return Problems{{
				File:    path,
				Message: fmt.Sprintf("is a symbolic link of user %d, who could change what tierd does", st.Uid),
				Hint:    "chown -h root " + path,
			}}
		}
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		dirs = append(dirs, filepath.Dir(target))
	}
	for _, dir := range dirs {
		if err := unix.Stat(dir, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: dir, Err: err}
		}
		if p := judgeDir(path, dir, &st); p != nil {
			return Problems{*p}
		}
	}
	return nil
}

// judgeDir says why a file in the directory cannot be trusted; nil if it can.
func judgeDir(path, dir string, st *unix.Stat_t) *Problem {
	if st.Mode&unix.S_IWOTH == 0 || st.Mode&unix.S_ISVTX != 0 {
		return nil
	}
	return &Problem{
		File:    path,
		Message: "lies in " + quote(dir) + ", where everybody may exchange files",
		Hint:    "chmod o-w " + dir,
	}
}

// AsProblems returns the problems that an error of [Load] or [Parse] consists of.
func AsProblems(err error) (Problems, bool) {
	var ps Problems
	ok := errors.As(err, &ps)
	return ps, ok
}
