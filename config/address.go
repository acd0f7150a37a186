package config

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// ListenAddr is the address that the metrics are served on: "host:port" with a
// loopback address or "localhost", or empty for none of its own. Port 0 lets
// the kernel choose.
type ListenAddr string

// UnmarshalText reads an address such as "127.0.0.1:9417" or "[::1]:9417".
// An address that other hosts can reach is an error as long as tierd cannot
// serve TLS.
func (a *ListenAddr) UnmarshalText(text []byte) error {
	const hint = `say "127.0.0.1:9417"`
	s := string(text)
	if s == "" {
		*a = ""
		return nil
	}
	// Not net.SplitHostPort: this package does without the network.
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return valueErrorf(hint, "%s has no port", quote(s))
	}
	host, port := s[:i], s[i+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return valueErrorf(hint, "%s is not a port number", quote(port))
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return valueErrorf(`say "[::1]:9417"`, "%s has an IPv6 address without brackets", quote(s))
	}
	const reach = "listen on 127.0.0.1, ::1 or localhost, and let a reverse proxy with TLS in front serve other hosts"
	if host != "localhost" {
		ip, err := netip.ParseAddr(host)
		switch {
		case host == "":
			return valueErrorf(reach, "%s listens on every interface without TLS", quote(s))
		case err != nil:
			return valueErrorf(reach, "%s is not an IP address", quote(host))
		case ip.Zone() != "":
			return valueErrorf(hint, "%s has a zone", quote(host))
		case !ip.IsLoopback():
			return valueErrorf(reach, "%s can be reached by other hosts without TLS", quote(s))
		}
	}
	*a = ListenAddr(s)
	return nil
}

// MarshalText gives the address; UnmarshalText reads it back.
func (a ListenAddr) MarshalText() ([]byte, error) { return []byte(a), nil }

func (a ListenAddr) String() string { return string(a) }

// SocketPath is the absolute path of a Unix socket.
type SocketPath string

// maxSocketPath is sizeof(sun_path) less the final NUL.
const maxSocketPath = 107

// UnmarshalText reads an absolute path that fits into a socket address.
func (p *SocketPath) UnmarshalText(text []byte) error {
	const hint = `say "/run/tierd/tierd.sock"`
	s := string(text)
	switch {
	case s == "":
		return valueErrorf(hint, "the path is empty")
	case len(s) > maxSocketPath:
		return valueErrorf(hint, "%s is longer than the %d bytes of a socket's address", quote(s), maxSocketPath)
	}
	if err := plainPath(s, "file", hint); err != nil {
		return err
	}
	*p = SocketPath(s)
	return nil
}

// plainPath says why a path is not absolute and in its shortest form.
func plainPath(s, what, hint string) error {
	switch {
	case s[0] != '/':
		return valueErrorf(hint, "%s is not an absolute path", quote(s))
	case strings.IndexFunc(s, unicode.IsControl) >= 0:
		return valueErrorf(hint, "%s has a control character", quote(s))
	case filepath.Clean(s) != s || s == "/":
		return valueErrorf(hint, "%s is not the plain path of a %s", quote(s), what)
	}
	return nil
}

// MarshalText gives the path; UnmarshalText reads it back.
func (p SocketPath) MarshalText() ([]byte, error) { return []byte(p), nil }

func (p SocketPath) String() string { return string(p) }

// DirPath is the absolute path of a directory, or empty for none.
type DirPath string

// maxDirPath is PATH_MAX less the final NUL and the name of a file.
const maxDirPath = 4095 - 256

// UnmarshalText reads an absolute path, or nothing.
func (p *DirPath) UnmarshalText(text []byte) error {
	const hint = `say "/var/lib/tierd/recordings"`
	s := string(text)
	if len(s) > maxDirPath {
		return valueErrorf(hint, "the path is longer than %d bytes", maxDirPath)
	}
	if s != "" {
		if err := plainPath(s, "directory", hint); err != nil {
			return err
		}
	}
	*p = DirPath(s)
	return nil
}

// MarshalText gives the path; UnmarshalText reads it back.
func (p DirPath) MarshalText() ([]byte, error) { return []byte(p), nil }

func (p DirPath) String() string { return string(p) }
