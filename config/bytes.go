package config

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// The binary sizes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
	PiB Bytes = 1 << 50
)

// Bytes is a size in bytes, at most 2^63-1. Its text is a number and a
// mandatory unit: B, the binary KiB MiB GiB TiB PiB, or the decimal
// kB MB GB TB PB. A fraction is allowed where it gives whole bytes: "1.5GiB".
type Bytes uint64

type byteUnit struct {
	name string
	size Bytes
}

// byteUnits lists the units, binary before decimal, large before small.
func byteUnits() [11]byteUnit {
	return [11]byteUnit{
		{"PiB", PiB}, {"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
		{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
		{"B", 1},
	}
}

// ParseBytes reads a size such as "64GiB". Its errors are of type *[ValueError].
func ParseBytes(text string) (Bytes, error) {
	var b Bytes
	err := b.UnmarshalText([]byte(text))
	return b, err
}

// UnmarshalText reads a size such as "64GiB" or "48 MiB".
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := parseBytes(string(text), "")
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// parseBytes reads a size; suffix follows the unit in hints ("/s" for a rate).
func parseBytes(text, suffix string) (Bytes, *ValueError) {
	n, unit, err := quantity(text)
	if err != nil {
		if err.Hint == "" {
			err.Hint = fmt.Sprintf("say %q", "64MiB"+suffix)
		}
		return 0, err
	}
	number := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), unit))
	if unit == "" {
		if n.Sign() == 0 {
			return 0, valueErrorf(fmt.Sprintf("say %q", "0B"+suffix), "%s has no unit", quote(text))
		}
		return 0, valueErrorf(fmt.Sprintf("say %q or %q", number+"GiB"+suffix, number+"MiB"+suffix),
			"%s has no unit", quote(text))
	}
	for _, u := range byteUnits() {
		if u.name != unit {
			continue
		}
		n.Mul(n, new(big.Rat).SetUint64(uint64(u.size)))
		if !n.IsInt() {
			return 0, valueErrorf("", "%s is not a whole number of bytes", quote(text))
		}
		if !n.Num().IsInt64() {
			return 0, valueErrorf("the largest is 8191PiB"+suffix, "%s is too large", quote(text))
		}
		return Bytes(n.Num().Uint64()), nil
	}
	return 0, valueErrorf(unitHint(number, unit, suffix), "%s has the unknown unit %s", quote(text), quote(unit))
}

func unitHint(number, unit, suffix string) string {
	for _, u := range byteUnits() {
		if strings.EqualFold(u.name, unit) {
			return fmt.Sprintf("say %q", number+u.name+suffix)
		}
	}
	if len(unit) == 1 {
		if up := strings.ToUpper(unit); strings.Contains("KMGTP", up) {
			si := up
			if up == "K" {
				si = "k"
			}
			return fmt.Sprintf("say %q or %q", number+up+"iB"+suffix, number+si+"B"+suffix)
		}
	}
	return "the units are B, KiB, MiB, GiB, TiB, PiB and kB, MB, GB, TB, PB"
}

// String gives the shortest exact form, the binary one where both are as
// short: 65536 MiB is "64GiB", a million is "1MB".
func (b Bytes) String() string {
	best, unit := uint64(math.MaxUint64), "B"
	for _, u := range byteUnits() {
		if q := b / u.size; b%u.size == 0 && (b != 0 || u.size == 1) && uint64(q) < best {
			best, unit = uint64(q), u.name
		}
	}
	return strconv.FormatUint(best, 10) + unit
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Rate is a number of bytes per second. Its text is a size and "/s": "1GiB/s".
type Rate uint64

// UnmarshalText reads a rate such as "1GiB/s".
func (r *Rate) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	size, found := strings.CutSuffix(s, "/s")
	b, err := parseBytes(size, "/s")
	if err != nil {
		return err
	}
	if !found {
		return valueErrorf(fmt.Sprintf("say %q", b.String()+"/s"), "%s is a size, not a rate", quote(s))
	}
	*r = Rate(b)
	return nil
}

// BytesPerSecond returns the rate as a float for arithmetic.
func (r Rate) BytesPerSecond() float64 { return float64(r) }

func (r Rate) String() string { return Bytes(r).String() + "/s" }

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Reserve is the part of a node's memory that tierd never fills: a share of
// the node, or a number of bytes. At most one of the two is not zero.
type Reserve struct {
	Share Percent
	Bytes Bytes
}

// UnmarshalText reads a share ("2%") or a size ("4GiB").
func (r *Reserve) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if strings.HasSuffix(s, "%") {
		var p Percent
		if err := p.UnmarshalText(text); err != nil {
			return err
		}
		*r = Reserve{Share: p}
		return nil
	}
	b, err := parseBytes(s, "")
	if err != nil {
		if n, unit, bad := quantity(s); bad == nil && unit == "" && n.Sign() != 0 {
			err.Hint = fmt.Sprintf("say %q or %q", s+"%", s+"GiB")
		}
		return err
	}
	*r = Reserve{Bytes: b}
	return nil
}

// Of returns the reserve of a node with the given memory, in bytes. It is
// never more than the node has.
func (r Reserve) Of(node uint64) uint64 {
	if r.Bytes > 0 {
		return min(uint64(r.Bytes), node)
	}
	hi, lo := bits.Mul64(node, uint64(r.Share))
	if hi >= uint64(whole) {
		return node
	}
	q, _ := bits.Div64(hi, lo, uint64(whole))
	return min(q, node)
}

func (r Reserve) String() string {
	if r.Bytes > 0 {
		return r.Bytes.String()
	}
	return r.Share.String()
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (r Reserve) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
