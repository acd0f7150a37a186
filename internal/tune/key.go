package tune

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/tierd/tierd/config"
)

// Key is a key of the configuration that can be turned. Its value is a number: a
// share, seconds, bytes per second, or one without a unit.
type Key struct {
	// Table and Name are those of the file.
	Table, Name string
	// Low and High bound what is proposed. They lie within what is valid.
	Low, High float64
	// Log tells that equal ratios are equal steps.
	Log bool
	// Tried is false where a simulation has nothing to say.
	Tried bool

	field func(*config.Config) field
}

// String is the key as it is called in the docs.
func (k Key) String() string { return k.Table + "." + k.Name }

// field is a value of one of the kinds that configurations have.
type field struct {
	get  func() float64
	set  func(float64)
	text func() string // as it stands in the file
	copy func(from *config.Config)
}

// Keys are all that can be turned.
func Keys() []Key {
	return []Key{
		{"thrash", "separation", 2, 6, false, true, func(c *config.Config) field {
			return number(c, func(c *config.Config) *float64 { return &c.Thrash.Separation })
		}},
		{"thrash", "payback", 1, 10, true, true, func(c *config.Config) field {
			return number(c, func(c *config.Config) *float64 { return &c.Thrash.Payback })
		}},
		{"thrash", "max_waste", 0.0002, 0.05, true, true, func(c *config.Config) field {
			return share(c, func(c *config.Config) *config.Percent { return &c.Thrash.MaxWaste })
		}},
		{"thrash", "window", 5, 600, true, true, func(c *config.Config) field {
			return seconds(c, func(c *config.Config) *config.Duration { return &c.Thrash.Window })
		}},
		{"thrash", "breaker", 0.1, 0.9, false, true, func(c *config.Config) field {
			return share(c, func(c *config.Config) *config.Percent { return &c.Thrash.Breaker })
		}},
		{"thrash", "psi", 0.02, 0.3, true, false, func(c *config.Config) field {
			return share(c, func(c *config.Config) *config.Percent { return &c.Thrash.PSI })
		}},
		{"migrate", "rate", 64 << 20, 8 << 30, true, true, func(c *config.Config) field {
			return rate(c, func(c *config.Config) *config.Rate { return &c.Migrate.Rate })
		}},
	}
}

// KeyOf finds a key by its name.
func KeyOf(name string) (Key, bool) {
	keys := Keys()
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Get is the key's value.
func (k Key) Get(c *config.Config) float64 { return k.field(c).get() }

// Set sets the key to about a value, within its bounds and of two digits, as people
// write it.
func (k Key) Set(c *config.Config, v float64) {
	k.field(c).set(min(max(v, k.Low), k.High))
}

// Text is the key's value as it stands in a file.
func (k Key) Text(c *config.Config) string { return k.field(c).text() }

// bounds are the ends of the range as they stand in a file.
func bounds(k Key) (low, high string) {
	c := config.Default()
	k.Set(c, k.Low)
	low = k.Text(c)
	k.Set(c, k.High)
	return low, k.Text(c)
}

// copy sets the key to another configuration's value, whatever that is.
func (k Key) copy(to, from *config.Config) { k.field(to).copy(from) }

// at is the value at a part of the way from Low to High.
func (k Key) at(part float64) float64 {
	if k.Log {
		return k.Low * math.Pow(k.High/k.Low, part)
	}
	return k.Low + (k.High-k.Low)*part
}

// part is the inverse of at.
func (k Key) part(v float64) float64 {
	v = min(max(v, k.Low), k.High)
	if k.Log {
		return math.Log(v/k.Low) / math.Log(k.High/k.Low)
	}
	return (v - k.Low) / (k.High - k.Low)
}

// twoDigits rounds.
func twoDigits(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 1, 64), 64)
	return r
}

func quoted(v fmt.Stringer) string { return strconv.Quote(v.String()) }

func number(c *config.Config, of func(*config.Config) *float64) field {
	to := of(c)
	return field{
		copy: func(from *config.Config) { *to = *of(from) },
		get:  func() float64 { return *to },
		set:  func(v float64) { *to = twoDigits(v) },
		text: func() string { return strconv.FormatFloat(*to, 'f', -1, 64) },
	}
}

func share(c *config.Config, of func(*config.Config) *config.Percent) field {
	to := of(c)
	return field{
		copy: func(from *config.Config) { *to = *of(from) },
		get:  to.Fraction,
		set:  func(v float64) { *to = config.Percent(math.Round(twoDigits(v) * 100 * float64(config.OnePercent))) },
		text: func() string { return quoted(to) },
	}
}

func seconds(c *config.Config, of func(*config.Config) *config.Duration) field {
	to := of(c)
	return field{
		copy: func(from *config.Config) { *to = *of(from) },
		get:  func() float64 { return to.Std().Seconds() },
		set:  func(v float64) { *to = config.Duration(time.Duration(math.Round(twoDigits(v))) * time.Second) },
		text: func() string { return quoted(to) },
	}
}

func rate(c *config.Config, of func(*config.Config) *config.Rate) field {
	to := of(c)
	return field{
		copy: func(from *config.Config) { *to = *of(from) },
		get:  to.BytesPerSecond,
		set: func(v float64) {
			const grain = 16 * float64(config.MiB)
			*to = config.Rate(max(math.Round(v/grain), 1) * grain)
		},
		text: func() string { return quoted(to) },
	}
}
