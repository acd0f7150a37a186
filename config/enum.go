package config

import (
	"fmt"
	"slices"
	"strings"
)

// Mode says whether tierd moves memory. The zero value is the harmless one.
type Mode uint8

const (
	ModeObserve Mode = iota // look and plan, move nothing
	ModeEnforce             // move
)

// UnmarshalText reads "observe" or "enforce".
func (m *Mode) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "observe":
		*m = ModeObserve
	case "enforce":
		*m = ModeEnforce
	default:
		return choiceError(s, []string{"observe", "enforce"})
	}
	return nil
}

func (m Mode) String() string {
	switch m {
	case ModeObserve:
		return "observe"
	case ModeEnforce:
		return "enforce"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// choiceError rejects a word that is not one of the names.
func choiceError(s string, names []string) *ValueError {
	hint := ""
	if near := nearest(s, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return valueErrorf(hint, "%s is not %s", quote(s), oneOf(names))
}

// NearKind says what a workload wants its hot memory to be near.
type NearKind uint8

const (
	NearAuto  NearKind = iota // the GPU that it has open, else the CPUs that it runs on
	NearGPU                   // its GPU
	NearCPU                   // its CPUs
	NearNodes                 // the given nodes
)

// Near is what "near" means for a workload. The zero value is "auto".
type Near struct {
	Kind  NearKind
	Nodes NodeSet // with NearNodes, else empty
}

// UnmarshalText reads "auto", "gpu", "cpu" or a node list.
func (n *Near) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	words := []string{"auto", "gpu", "cpu"}
	if i := slices.Index(words, s); i >= 0 {
		*n = Near{Kind: NearKind(i)}
		return nil
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return choiceError(s, append(words, "a node list"))
	}
	var set NodeSet
	if err := set.UnmarshalText(text); err != nil {
		return err
	}
	*n = Near{Kind: NearNodes, Nodes: set}
	return nil
}

func (n Near) String() string {
	switch n.Kind {
	case NearGPU:
		return "gpu"
	case NearCPU:
		return "cpu"
	case NearNodes:
		return n.Nodes.String()
	}
	return "auto"
}

// MarshalText gives the same text as String; UnmarshalText reads it back.
func (n Near) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Source names one way to see which memory is used.
type Source string

const (
	SourcePageTable Source = "page-table" // accessed bits, read by an eBPF program
	SourceHintFault Source = "hint-fault" // NUMA hint faults
	SourcePrecise   Source = "precise"    // PEBS or IBS samples
	SourceDAMON     Source = "damon"      // DAMON regions
)

// UnmarshalText reads the name of a source.
func (s *Source) UnmarshalText(text []byte) error {
	switch v := Source(text); v {
	case SourcePageTable, SourceHintFault, SourcePrecise, SourceDAMON:
		*s = v
		return nil
	}
	return choiceError(string(text), []string{
		string(SourcePageTable), string(SourceHintFault), string(SourcePrecise), string(SourceDAMON),
	})
}

// MarshalText gives the source's name; UnmarshalText reads it back.
func (s Source) MarshalText() ([]byte, error) { return []byte(s), nil }

func (s Source) String() string { return string(s) }
