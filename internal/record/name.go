package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Segments are called tierd-SEQUENCE-TIME.rec. The sequence alone gives the order,
// because clocks jump; the time is for people.
const (
	namePrefix = "tierd-"
	nameSuffix = ".rec"
	nameTime   = "20060102T150405Z"
	// maxSequence is the last that a name can have. One segment a second gets there
	// in some 30 000 years.
	maxSequence = 1e12 - 1
)

// segmentName is the name of a segment. The time is cut to seconds.
func segmentName(sequence uint64, at time.Time) string {
	return fmt.Sprintf("%s%08d-%s%s", namePrefix, sequence, at.UTC().Format(nameTime), nameSuffix)
}

// parseName reads a name as segmentName makes it, and no other.
func parseName(name string) (sequence uint64, at time.Time, ok bool) {
	rest, ok1 := strings.CutPrefix(name, namePrefix)
	rest, ok2 := strings.CutSuffix(rest, nameSuffix)
	number, text, ok3 := strings.Cut(rest, "-")
	if !ok1 || !ok2 || !ok3 {
		return 0, time.Time{}, false
	}
	sequence, err := strconv.ParseUint(number, 10, 64)
	if err != nil || sequence > maxSequence {
		return 0, time.Time{}, false
	}
	at, err = time.Parse(nameTime, text)
	if err != nil || segmentName(sequence, at) != name {
		return 0, time.Time{}, false
	}
	return sequence, at, true
}
