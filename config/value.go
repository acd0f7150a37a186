package config

import (
	"cmp"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ValueError says why a text is not a value of its type, and what to write
// instead. It is what every UnmarshalText of this package returns.
type ValueError struct {
	Message string // what is wrong, without the key's name
	Hint    string // what to do, or empty
}

func (e *ValueError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

func valueErrorf(hint, format string, args ...any) *ValueError {
	return &ValueError{Message: fmt.Sprintf(format, args...), Hint: hint}
}

// quote shows untrusted text: in quotes, without control characters, bounded.
func quote(s string) string {
	const most = 64
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return strconv.Quote(s)
}

// maxNumber bounds the digits of a quantity; the largest that fits in 63 bits
// has 19, and a few more leave room for a fraction.
const maxNumber = 32

// quantity splits "1.5 GiB" into 1.5 and "GiB". The unit may be empty. Spaces
// around the value and between number and unit are allowed.
func quantity(text string) (n *big.Rat, unit string, err *ValueError) {
	s := strings.TrimSpace(text)
	if s == "" {
		return nil, "", valueErrorf("", "the value is empty")
	}
	if s[0] == '-' {
		return nil, "", valueErrorf("", "%s is negative", quote(s))
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	number, unit := s[:end], strings.TrimSpace(s[end:])
	whole, fraction, dot := strings.Cut(number, ".")
	if whole == "" || dot && fraction == "" || strings.Contains(fraction, ".") {
		return nil, "", valueErrorf("", "%s does not start with a number", quote(s))
	}
	if len(number) > maxNumber {
		return nil, "", valueErrorf("", "%s has too many digits", quote(s))
	}
	n, ok := new(big.Rat).SetString(number)
	if !ok {
		return nil, "", valueErrorf("", "%s does not start with a number", quote(s))
	}
	return n, unit, nil
}

// bound returns an error when v is outside lo..hi, both allowed.
func bound[T cmp.Ordered](v, lo, hi T) *ValueError {
	hint := fmt.Sprintf("the range is %v to %v", lo, hi)
	switch {
	case v < lo:
		return valueErrorf(hint, "%v is below %v", v, lo)
	case v > hi:
		return valueErrorf(hint, "%v is above %v", v, hi)
	}
	return nil
}

// oneOf joins names for a message: "a, b or c".
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
