package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/status"
)

func (a *app) record() *cobra.Command {
	cmd := command("record", "Write to a file what the running daemon sees", helpRecord, cobra.NoArgs, nil)
	var file, socket, size string
	var length time.Duration
	cmd.Flags().StringVarP(&file, "output", "o", "", "")
	cmd.Flags().DurationVar(&length, "for", 0, "")
	cmd.Flags().StringVar(&socket, "socket", "", "")
	cmd.Flags().StringVar(&size, "size", config.Default().Record.Size.String(), "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case file == "":
			return &failure{err: errors.New("no file to write to"), hint: "tierd record -o FILE", code: exitUsage}
		case cmd.Flags().Changed("size") && !isDir(file):
			return &failure{err: errors.New("--size is for directories"), hint: "mkdir " + printable(file), code: exitUsage}
		case length < 0 || length == 0 && cmd.Flags().Changed("for"):
			return &failure{err: errors.New("--for must be longer than nothing"), code: exitUsage}
		}
		most, err := config.ParseBytes(size)
		if err == nil && (most < config.MiB || most > config.TiB) {
			err = fmt.Errorf("%v is not between 1MiB and 1TiB", most)
		}
		if err != nil {
			return &failure{err: fmt.Errorf("--size: %w", err), code: exitUsage}
		}
		if socket == "" {
			socket = defaultSocket()
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
		defer stop()
		if length > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, length)
			defer cancel()
		}
		n, err := recordTo(ctx, socket, file, most)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "recorded %s to %s\n", bytesText(uint64(n)), printable(file))
		return nil
	}
	return cmd
}

// drawRecord writes how the ring of [record] stands.
func drawRecord(w io.Writer, r *status.Record, now time.Time) {
	if r.Dir == "" {
		return
	}
	fmt.Fprintf(w, "\nrecording to %s: %s of %s in %d files", oneLine(r.Dir), bytesText(r.Bytes), bytesText(r.SizeBytes), r.Segments)
	if !r.OldestAt.IsZero() {
		fmt.Fprintf(w, ", the first begun %s ago", ago(now.Sub(r.OldestAt)))
	}
	fmt.Fprintf(w, "; %d plans written", r.FramesTotal)
	if r.LeftOutTotal > 0 {
		fmt.Fprintf(w, ", %d left out", r.LeftOutTotal)
	}
	if r.LostTotal > 0 {
		fmt.Fprintf(w, ", %d lost", r.LostTotal)
	}
	fmt.Fprintln(w)
	if r.Failing {
		fmt.Fprintf(w, "  it cannot be written, and is tried again: %s\n", oneLine(r.LastError))
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// recordTo writes a recording until ctx ends, and returns how many bytes it has:
// to a file, which is made only when the daemon has answered, or to a directory, as a
// ring of at most so many bytes.
func recordTo(ctx context.Context, socket, path string, most config.Bytes) (n int64, err error) {
	c := control.NewClient(socket)
	defer c.Close()
	from, err := c.Record(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return 0, errors.New("nothing was recorded: the daemon made no plan in that time")
		}
		return 0, unreachable(err)
	}
	defer from.Close()
	if isDir(path) {
		n, err = record.Keep(from, record.Settings{Dir: path, Size: int64(most), Segment: int64(min(config.Default().Record.Segment, most/4))})
	} else {
		n, err = copyTo(path, from)
	}
	stopped := ctx.Err() != nil
	var kept *record.KeepError
	var disk *os.PathError
	switch {
	case errors.As(err, &disk), errors.As(err, &kept):
		return n, err
	case !stopped:
		return n, &failure{err: fmt.Errorf("the daemon stopped after %s", bytesText(uint64(n))), code: exitUnreachable,
			hint: "what is in the file can be replayed"}
	}
	return n, nil
}

func copyTo(file string, from io.Reader) (n int64, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, from)
	if closed := f.Close(); closed != nil {
		return n, closed
	}
	return n, err
}
