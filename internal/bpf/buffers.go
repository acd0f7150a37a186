package bpf

import (
	"errors"
	"time"

	"github.com/cilium/ebpf"
)

const (
	// grace is how long programs that were running when the buffers changed places may
	// still write into the one that is read.
	grace = time.Millisecond
	// batch is how many entries are read at once.
	batch = 1024
)

// Buffers are two maps with which a program counts: it fills one while the other is read. They belong to one goroutine.
type Buffers[K, V any] struct {
	maps   [2]*ebpf.Map
	active *ebpf.Variable // of 32 bits: the index of the one that is filled
	which  uint32
	keys   []K
	values []V
}

// NewBuffers takes the maps and the variable that tells the program which of them to fill.
func NewBuffers[K, V any](first, second *ebpf.Map, active *ebpf.Variable) *Buffers[K, V] {
	return &Buffers[K, V]{maps: [2]*ebpf.Map{first, second}, active: active, keys: make([]K, batch), values: make([]V, batch)}
}

// Drain visits and removes what was counted since the last time, in no order.
func (b *Buffers[K, V]) Drain(visit func(*K, *V)) error {
	full := b.maps[b.which]
	b.which = 1 - b.which
	if err := b.active.Set(b.which); err != nil {
		return err
	}
	time.Sleep(grace)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := full.BatchLookupAndDelete(&cursor, b.keys, b.values, nil)
		for i := range n {
			visit(&b.keys[i], &b.values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
