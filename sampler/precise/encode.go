package precise

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tierd/tierd/internal/hostfs"
)

// config are the three words of a perf_event_attr that terms set.
type config [3]uint64

// encode sets what a list of terms says, such as "event=0xcd,umask=0x1,ldlat=3", by the formats of an event source.
func encode(s *hostfs.EventSource, terms string) (c config, err error) {
	for term := range strings.SplitSeq(terms, ",") {
		name, text, valued := strings.Cut(strings.TrimSpace(term), "=")
		value := uint64(1)
		if valued {
			if value, err = strconv.ParseUint(text, 0, 64); err != nil {
				return config{}, fmt.Errorf("event source %s: term %.40q: bad value", s.Name, term)
			}
		}
		format, ok := s.Formats[name]
		if !ok {
			return config{}, fmt.Errorf("event source %s: no term %.40q", s.Name, name)
		}
		if err := c.set(format, value); err != nil {
			return config{}, fmt.Errorf("event source %s: term %.40q: %w", s.Name, term, err)
		}
	}
	return c, nil
}

// set puts a value into the bits of a format, such as "config1:0-15" or "config:0-7,32-35": the low bits first.
func (c *config) set(format string, value uint64) error {
	word, list, _ := strings.Cut(format, ":")
	i, known := map[string]int{"config": 0, "config1": 1, "config2": 2}[word]
	if !known {
		return fmt.Errorf("bad format %.40q", format)
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 8)
		last, err2 := strconv.ParseUint(to, 10, 8)
		if err != nil || err2 != nil || first > last || last > 63 {
			return fmt.Errorf("bad format %.40q", format)
		}
		width := last - first + 1
		mask := ^uint64(0) >> (64 - width)
		c[i] = c[i]&^(mask<<first) | (value&mask)<<first
		if width == 64 {
			value = 0
		} else {
			value >>= width
		}
	}
	if value != 0 {
		return fmt.Errorf("the value does not fit %.40q", format)
	}
	return nil
}
