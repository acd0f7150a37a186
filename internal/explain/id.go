package explain

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ID names a decision: a move of the plan of an epoch.
type ID struct {
	Epoch uint64
	Index int // from 0
}

// String is d-EPOCH-NUMBER, the number from 1.
func (id ID) String() string { return fmt.Sprintf("d-%d-%d", id.Epoch, id.Index+1) }

// ErrNoID: the text is not that of an ID.
var ErrNoID = errors.New("decision id is not of the form d-EPOCH-NUMBER")

// ParseID reads what String writes, and nothing else.
func ParseID(text string) (ID, error) {
	epoch, index, ok := strings.Cut(strings.TrimPrefix(text, "d-"), "-")
	e, err := strconv.ParseUint(epoch, 10, 64)
	n, err2 := strconv.ParseUint(index, 10, 31)
	if !ok || err != nil || err2 != nil || n == 0 {
		return ID{}, ErrNoID
	}
	id := ID{e, int(n) - 1}
	if id.String() != text {
		return ID{}, ErrNoID
	}
	return id, nil
}

func address(a uint64) string { return fmt.Sprintf("0x%x", a) }
