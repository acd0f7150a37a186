package vm

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// archiveEnv names the Debian archive to use on a host whose own sources have none, such as Ubuntu's.
const archiveEnv = "TIERD_VM_ARCHIVE"

// debianKeyring verifies the archive where the host's sources name no other keyring.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// suites are where to look for a kernel, the small indices first. The first suite that has the version wins.
var suites = []string{"bookworm-backports", "trixie-backports", "bookworm", "trixie", "forky", "sid"}

// A source is one package archive of the host.
type source struct {
	uri      string
	suites   []string
	signedBy string // a keyring's path, or empty
	trusted  bool
}

// parseSourcesList reads apt's one-line format, see sources.list(5).
func parseSourcesList(r io.Reader) ([]source, error) {
	var out []source
	s := bufio.NewScanner(r)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t' && rest[0] != '[') {
			continue
		}
		rest = strings.TrimSpace(rest)
		var src source
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			rest = after
			for option := range strings.FieldsSeq(options) {
				switch key, value, _ := strings.Cut(option, "="); strings.ToLower(key) {
				case "signed-by":
					src.signedBy = keyringPath(value)
				case "trusted":
					src.trusted = value == "yes"
				}
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		src.uri, src.suites = fields[0], fields[1:2]
		out = append(out, src)
	}
	return out, s.Err()
}

// parseSources reads apt's deb822 format: stanzas of "Field: value" with continuation lines, divided by empty lines.
func parseSources(r io.Reader) ([]source, error) {
	var out []source
	stanza := map[string]string{}
	last := ""
	end := func() {
		if slices.Contains(strings.Fields(stanza["types"]), "deb") && !slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(strings.TrimSpace(stanza["enabled"]))) {
			for uri := range strings.FieldsSeq(stanza["uris"]) {
				out = append(out, source{
					uri:      uri,
					suites:   strings.Fields(stanza["suites"]),
					signedBy: keyringPath(strings.TrimSpace(stanza["signed-by"])),
					trusted:  strings.TrimSpace(stanza["trusted"]) == "yes",
				})
			}
		}
		clear(stanza)
		last = ""
	}
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				stanza[last] += "\n" + strings.TrimSpace(line)
			}
		default:
			key, value, ok := strings.Cut(line, ":")
			if !ok {
				last = ""
				continue
			}
			last = strings.ToLower(strings.TrimSpace(key))
			stanza[last] = strings.TrimSpace(value)
		}
	}
	end()
	return out, s.Err()
}

// keyringPath returns value where it is a file; sources may also hold fingerprints or a whole key.
func keyringPath(value string) string {
	if strings.HasPrefix(value, "/") && !strings.ContainsAny(value, " \t\n,") {
		return value
	}
	return ""
}

// hostSources reads the sources below root, a folder such as /etc/apt.
func hostSources(root string) ([]source, error) {
	lists, err := filepath.Glob(filepath.Join(root, "sources.list.d", "*.list"))
	if err != nil {
		return nil, err
	}
	stanzas, err := filepath.Glob(filepath.Join(root, "sources.list.d", "*.sources"))
	if err != nil {
		return nil, err
	}
	var out []source
	for _, path := range slices.Concat([]string{filepath.Join(root, "sources.list")}, lists, stanzas) {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		parse := parseSourcesList
		if strings.HasSuffix(path, ".sources") {
			parse = parseSources
		}
		got, err := parse(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, got...)
	}
	return out, nil
}

// archive picks the Debian archive that the host's own sources name, else that of the environment.
func archive(sources []source) (source, error) {
	for _, s := range sources {
		path := strings.TrimRight(s.uri, "/")
		if !strings.HasSuffix(path, "/debian") || slices.ContainsFunc(s.suites, func(x string) bool { return strings.Contains(x, "security") }) {
			continue
		}
		return source{uri: path, signedBy: cmp.Or(s.signedBy, debianKeyring), trusted: s.trusted}, nil
	}
	if uri := os.Getenv(archiveEnv); uri != "" {
		return source{uri: strings.TrimRight(uri, "/"), signedBy: debianKeyring}, nil
	}
	return source{}, fmt.Errorf("apt's sources name no Debian archive: set %s to the address of one, or TIERD_VM_KERNEL to a kernel image", archiveEnv)
}

// fetch downloads the newest kernel of the version into dir and returns the image's path and the package's name.
func fetch(ctx context.Context, dir, version string) (image, name string, err error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", "", fmt.Errorf("%s is not installed: set TIERD_VM_KERNEL to the path of a vmlinuz", tool)
		}
	}
	sources, err := hostSources("/etc/apt")
	if err != nil {
		return "", "", err
	}
	from, err := archive(sources)
	if err != nil {
		return "", "", err
	}
	if _, err := os.Stat(from.signedBy); err != nil && !from.trusted {
		return "", "", fmt.Errorf("keyring %s is missing: install debian-archive-keyring", from.signedBy)
	}
	var failed error
	for _, suite := range suites {
		name, err := fetchFrom(ctx, dir, from, suite, version)
		if ctx.Err() != nil {
			return "", "", context.Cause(ctx)
		}
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		if name != "" {
			image, err := unpack(ctx, dir)
			return image, name, err
		}
	}
	if failed != nil {
		return "", "", failed
	}
	return "", "", fmt.Errorf("none in the archive's suites %s", strings.Join(suites, ", "))
}

// fetchFrom downloads the package from one suite. An empty name says that the suite does not have the version.
func fetchFrom(ctx context.Context, dir string, from source, suite, version string) (string, error) {
	root := filepath.Join(dir, suite)
	for _, d := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	options := "arch=amd64 signed-by=" + from.signedBy
	if from.trusted {
		options = "arch=amd64 trusted=yes"
	}
	list := fmt.Sprintf("deb [%s] %s %s main\n", options, from.uri, suite)
	for name, content := range map[string]string{"sources.list": list, "status": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	apt := func(tool string, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, tool, append([]string{
			"-q",
			"-o", "Dir::Etc::sourcelist=" + filepath.Join(root, "sources.list"),
			"-o", "Dir::Etc::sourceparts=" + filepath.Join(root, "parts"),
			"-o", "Dir::State::lists=" + filepath.Join(root, "lists"),
			"-o", "Dir::State::status=" + filepath.Join(root, "status"),
			"-o", "Dir::Cache=" + filepath.Join(root, "cache"),
			"-o", "APT::Architecture=amd64",
			"-o", "APT::Sandbox::User=root",
			"-o", "Acquire::Languages=none",
			"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
			"-o", "APT::Update::Error-Mode=any",
		}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w: %s", tool, args[0], err, firstError(stderr.String()))
		}
		return out, nil
	}
	if _, err := apt("apt-get", "update"); err != nil {
		return "", fmt.Errorf("suite %s: %w", suite, err)
	}
	out, err := apt("apt-cache", "search", "--names-only", "^linux-(image|binary)-"+version[:1])
	if err != nil {
		return "", fmt.Errorf("suite %s: %w", suite, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	name := newest(names, version)
	if name == "" {
		return "", nil
	}
	if _, err := apt("apt-get", "download", name); err != nil {
		return "", fmt.Errorf("suite %s: %w", suite, err)
	}
	return name, nil
}

// firstError returns apt's first error line, or else the last line.
func firstError(s string) string {
	last := ""
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "E:") {
			return line
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// newest picks from names the newest cloud kernel whose version begins with version. Newer packaging keeps the
// image in linux-binary; linux-image is then empty.
func newest(names []string, version string) string {
	best, bestABI := "", ""
	for _, name := range names {
		for _, prefix := range []string{"linux-binary-", "linux-image-"} {
			abi, ok := strings.CutPrefix(name, prefix)
			if !ok {
				continue
			}
			abi, ok = strings.CutSuffix(abi, "-cloud-amd64")
			rest, match := strings.CutPrefix(abi, version)
			if !ok || !match || (rest != "" && rest[0] >= '0' && rest[0] <= '9') {
				continue
			}
			c := compareVersions(abi, bestABI)
			if best == "" || c > 0 || (c == 0 && prefix == "linux-binary-") {
				best, bestABI = name, abi
			}
		}
	}
	return best
}

// compareVersions compares the numbers in a and b from left to right.
func compareVersions(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }

func numbers(s string) []int {
	var out []int
	for f := range strings.FieldsFuncSeq(s, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(f)
		out = append(out, n)
	}
	return out
}

// unpack takes the kernel image out of the package in dir.
func unpack(ctx context.Context, dir string) (string, error) {
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("package: %d files downloaded", len(debs))
	}
	out := filepath.Join(dir, "root")
	if msg, err := exec.CommandContext(ctx, "dpkg-deb", "-x", debs[0], out).CombinedOutput(); err != nil {
		return "", fmt.Errorf("package: dpkg-deb: %w: %s", err, bytes.TrimSpace(msg))
	}
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz", "lib/modules/*/vmlinuz"} {
		images, err := filepath.Glob(filepath.Join(out, pattern))
		if err == nil && len(images) == 1 {
			return images[0], nil
		}
	}
	return "", fmt.Errorf("package %s: no kernel image in it", filepath.Base(debs[0]))
}
