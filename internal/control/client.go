package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/status"
)

// Why the daemon cannot be asked.
var (
	// ErrNotRunning: nobody answers on the socket.
	ErrNotRunning = errors.New("no tierd answers")
	// ErrNotReady: it has not yet finished its first epoch.
	ErrNotReady = errors.New("tierd has not finished its first epoch")
)

// maxAnswer bounds what a daemon may answer.
const maxAnswer = 64 << 20

// Client asks a running tierd.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the tierd on a socket. Close it.
func NewClient(path string) *Client {
	return &Client{path: path, http: http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", path)
			},
			MaxIdleConns:           1,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}}
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the last picture. The error wraps ErrNotRunning or ErrNotReady, or fs.ErrPermission where the
// socket may not be opened.
func (c *Client) Status(ctx context.Context) (*status.Status, error) {
	s := new(status.Status)
	if err := c.get(ctx, "/v1/status", s); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return s, nil
}

// Record asks for a recording, which goes on until ctx ends or the daemon does. The
// errors are those of Status. Close the answer.
func (c *Client) Record(ctx context.Context) (io.ReadCloser, error) {
	body, err := c.record(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return body, nil
}

func (c *Client) record(ctx context.Context) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tierd/v1/record", nil)
	if err != nil {
		return nil, err
	}
	patient := c.http
	patient.Timeout = 0
	resp, err := patient.Do(req)
	if err != nil {
		return nil, absence(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var f Failure
	if json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&f) != nil || f.Error == "" {
		f.Error = resp.Status
	}
	return nil, errors.New(f.Error)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tierd"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return absence(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return absence(err)
	}
	if len(body) > maxAnswer {
		return errors.New("answer is too long")
	}
	if resp.StatusCode != http.StatusOK {
		var f Failure
		if json.Unmarshal(body, &f) != nil || f.Error == "" {
			f.Error = resp.Status
		}
		if resp.StatusCode == http.StatusServiceUnavailable {
			return ErrNotReady
		}
		return errors.New(f.Error)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("answer is not that of a tierd: %w", err)
	}
	return nil
}

// absence names the errors by which the kernel says that nobody is there.
func absence(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fs.ErrPermission
	case errors.As(err, &op) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)):
		return fmt.Errorf("%w: there is no socket", ErrNotRunning)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: the socket is left over", ErrNotRunning)
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it closed the connection", ErrNotRunning)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w within 5 s", ErrNotRunning)
	}
	return err
}
