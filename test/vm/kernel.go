package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultKernel is the version that a [Machine] boots unless told otherwise.
const DefaultKernel = "6.12"

// Kernel returns the path of a vmlinuz. Its argument is a path, which is returned as it is, or a version such as
// "6.12", which is looked for in the cache folder and else fetched from Debian's archive: the newest build whose version
// begins so, for clouds, as that is the smallest. Empty is the environment's TIERD_VM_KERNEL, or else DefaultKernel.
//
// The cache folder is TIERD_VM_CACHE, or tierd/kernel in the user's cache folder. A version in it is never
// renewed: remove its folder for that. Several processes may ask at once.
func Kernel(ctx context.Context, kernel string) (string, error) {
	if kernel == "" {
		kernel = os.Getenv("TIERD_VM_KERNEL")
	}
	if kernel == "" {
		kernel = DefaultKernel
	}
	if strings.Contains(kernel, "/") {
		if _, err := os.Stat(kernel); err != nil {
			return "", fmt.Errorf("%w: kernel: %w", ErrUnavailable, err)
		}
		return kernel, nil
	}
	if !validVersion(kernel) {
		return "", fmt.Errorf("kernel %q: neither a path nor a version such as %s", kernel, DefaultKernel)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, kernel)
	image := filepath.Join(dir, "vmlinuz")
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("kernel %s: %w", kernel, err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("kernel %s: %w", kernel, err)
	}
	defer unlock()
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	work, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return "", fmt.Errorf("kernel %s: %w", kernel, err)
	}
	defer os.RemoveAll(work)
	fetched, name, err := fetch(ctx, work, kernel)
	if err != nil {
		return "", fmt.Errorf("%w: kernel %s: %w", ErrUnavailable, kernel, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package"), []byte(name+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("kernel %s: %w", kernel, err)
	}
	if err := os.Rename(fetched, image); err != nil {
		return "", fmt.Errorf("kernel %s: %w", kernel, err)
	}
	return image, nil
}

// validVersion accepts what may begin the version in a package's name.
func validVersion(s string) bool {
	return s != "" && s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789.+-abcdefghijklmnopqrstuvwxyz") == ""
}

func cacheDir() (string, error) {
	if dir := os.Getenv("TIERD_VM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kernel cache: %w (set TIERD_VM_CACHE)", err)
	}
	return filepath.Join(dir, "tierd", "kernel"), nil
}

// lock takes the lock file at path and returns the function that gives it back.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}
