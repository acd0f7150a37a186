package config

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of every [Duration]; keys have narrower ones.
const (
	MinDuration = Duration(time.Microsecond)
	MaxDuration = Duration(24 * time.Hour)
)

// Duration is a positive length of time. Its text is a number with a
// mandatory unit (us, ms, s, m, h), or several: "20ms", "1m30s".
type Duration time.Duration

// UnmarshalText reads a duration such as "20ms".
func (d *Duration) UnmarshalText(text []byte) error {
	const hint = `say "20ms", "60s" or "1m30s"`
	s := strings.TrimSpace(string(text))
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		return valueErrorf(fmt.Sprintf("say %q or %q", bounded(s)+"s", bounded(s)+"ms"), "%s has no unit", quote(s))
	}
	compact := s
	if n, unit, err := quantity(s); err == nil && n != nil && !strings.ContainsAny(unit, "0123456789. ") {
		// One number and one unit, perhaps with a space between.
		compact = strings.ReplaceAll(s, " ", "")
	}
	v, err := time.ParseDuration(compact)
	if err != nil {
		return valueErrorf(hint, "%s is not a duration", quote(s))
	}
	switch {
	case v < 0:
		return valueErrorf(hint, "%s is negative", quote(s))
	case v == 0:
		return valueErrorf(hint, "%s is not longer than nothing", quote(s))
	}
	if err := bound(Duration(v), MinDuration, MaxDuration); err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String gives the standard library's form without empty parts: "1m", not "1m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Period is the length of a workload's training step: to be found out
// (the zero value, "auto"), ignored ("off"), or given.
type Period struct {
	Off   bool
	Every Duration // the step's length; zero when Off or automatic
}

// UnmarshalText reads "auto", "off" or a duration.
func (p *Period) UnmarshalText(text []byte) error {
	switch s := strings.TrimSpace(string(text)); s {
	case "auto":
		*p = Period{}
	case "off":
		*p = Period{Off: true}
	default:
		var d Duration
		if err := d.UnmarshalText(text); err != nil {
			if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
				return valueErrorf(`say "auto", "off" or "2.5s"`, "%s is not auto, off or a duration", quote(s))
			}
			return err
		}
		*p = Period{Every: d}
	}
	return nil
}

// Auto reports whether the period is to be found out.
func (p Period) Auto() bool { return !p.Off && p.Every == 0 }

func (p Period) String() string {
	switch {
	case p.Off:
		return "off"
	case p.Every == 0:
		return "auto"
	}
	return p.Every.String()
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
