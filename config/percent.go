package config

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Percent is a share between 0 % and 100 %, counted in ten-thousandths of a
// percent (millionths of the whole), so that it is exact and comparable. Its
// text is a number, possibly with a fraction, and a mandatory "%": "0.2%".
type Percent uint64

// whole is 100 %.
const whole Percent = 1_000_000

// OnePercent is the unit to build a Percent from: 3 * OnePercent.
const OnePercent Percent = whole / 100

// UnmarshalText reads a share such as "3%" or "0.2%".
func (p *Percent) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	n, unit, err := quantity(s)
	if err != nil {
		if err.Hint == "" {
			err.Hint = `say "3%"`
		}
		return err
	}
	switch unit {
	case "%":
	case "":
		return valueErrorf(fmt.Sprintf("say %q", s+"%"), "%s has no unit", quote(s))
	default:
		return valueErrorf(`say "3%"`, "%s has the unknown unit %s", quote(s), quote(unit))
	}
	if n.Cmp(big.NewRat(100, 1)) > 0 {
		return valueErrorf("", "%s is above 100%%", quote(s))
	}
	n.Mul(n, new(big.Rat).SetUint64(uint64(OnePercent)))
	if !n.IsInt() {
		return valueErrorf("", "%s is finer than 0.0001%%", quote(s))
	}
	*p = Percent(n.Num().Uint64())
	return nil
}

// Fraction returns the share as a fraction of one: 3 % is 0.03.
func (p Percent) Fraction() float64 { return float64(p) / float64(whole) }

func (p Percent) String() string {
	s := strconv.FormatUint(uint64(p/OnePercent), 10)
	if rest := p % OnePercent; rest != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%04d", uint64(rest)), "0")
	}
	return s + "%"
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
