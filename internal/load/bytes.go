package load

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is an amount of memory. As text it has a unit: 96MiB, 1GiB, 4096B.
type Bytes uint64

// The units of Bytes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// units is ordered from the largest, and B last: every other one ends in B.
func units() []struct {
	suffix string
	size   Bytes
} {
	return []struct {
		suffix string
		size   Bytes
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}
}

// ParseBytes reads a number with a unit.
func ParseBytes(s string) (Bytes, error) {
	for _, u := range units() {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
		if err != nil || n > uint64(1<<63)/uint64(u.size) {
			return 0, fmt.Errorf("%q is not a size such as 96MiB or 1GiB", s)
		}
		return Bytes(n) * u.size, nil
	}
	return 0, fmt.Errorf("%q is not a size such as 96MiB or 1GiB: the unit is missing (B, KiB, MiB, GiB, TiB)", s)
}

// String writes b exactly, in the largest unit that allows it.
func (b Bytes) String() string {
	for _, u := range units() {
		if b >= u.size && b%u.size == 0 {
			return strconv.FormatUint(uint64(b/u.size), 10) + u.suffix
		}
	}
	return strconv.FormatUint(uint64(b), 10) + "B"
}

// Set makes Bytes a flag.Value.
func (b *Bytes) Set(s string) error {
	v, err := ParseBytes(s)
	if err != nil {
		return err
	}
	*b = v
	return nil
}
