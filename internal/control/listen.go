package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse: another tierd answers on the socket.
var ErrInUse = errors.New("another tierd answers on it")

// maxClients bounds the connections that are open at a time; more of them wait in the kernel's queue.
const maxClients = 64

// Listen makes the socket. Its folder is made with mode 0755 when it is missing. A socket that is already there and on
// which nobody answers is what a tierd that was killed left behind: it is removed.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	unlock, err := lock(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	defer unlock()
	if err := removeStale(ctx, path); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &bounded{Listener: l, slots: make(chan struct{}, maxClients), closed: make(chan struct{})}, nil
}

// lock keeps two daemons that start at once from removing each other's new socket. The lock is on the folder itself,
// so that nothing is left behind, and gone when this returns or the process dies.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	deadline := time.Now().Add(2 * time.Second)
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		// Somebody who holds it for long is no tierd that starts. What is then missing is only the protection
		// from a race, and a stranger must not keep tierd from starting.
		if err == nil || err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(deadline) {
			return func() { unix.Close(fd) }, nil
		}
		select {
		case <-ctx.Done():
			unix.Close(fd)
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// removeStale removes a socket on which nobody answers.
func removeStale(ctx context.Context, path string) error {
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return errors.New("there is a file of that name, and it is not a socket")
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	// A queue that is full, or rights that are missing: somebody may well be there.
	return err
}

// bounded accepts a bounded number of connections at a time.
type bounded struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &conn{Conn: c, release: sync.OnceFunc(func() { <-b.slots })}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type conn struct {
	net.Conn
	release func()
}

func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
