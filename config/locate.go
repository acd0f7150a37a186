package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// node is a key, or an element of a list, and where it stands in the text.
type node struct {
	name   string
	parent *node
	key    span             // the key's name where it is first written
	val    span             // the value; for a table written as [name], the name
	kids   map[string]*node // of a table
	order  []*node          // the same, as first written
	elems  []*node          // of a list; of a long one only the first
	depth  int              // names and lists that it is in
	array  bool             // written as [[name]]
	bad    bool             // a problem has been reported for it
}

// find follows a path of keys; nil where it ends early.
func (n *node) find(path ...string) *node {
	for _, name := range path {
		if n == nil {
			return nil
		}
		n = n.kids[name]
	}
	return n
}

// child returns the named child and makes it if need be, at the given place.
func (n *node) child(name string, at span) *node {
	if k := n.kids[name]; k != nil {
		return k
	}
	k := &node{name: name, parent: n, key: at, val: at, depth: n.depth + 1}
	if n.kids == nil {
		n.kids = make(map[string]*node)
	}
	n.kids[name] = k
	n.order = append(n.order, k)
	return k
}

// path returns the keys from the root.
func (n *node) path() toml.Key {
	var key toml.Key
	for ; n.parent != nil; n = n.parent {
		key = append(key, n.name)
	}
	for i, j := 0, len(key)-1; i < j; i, j = i+1, j-1 {
		key[i], key[j] = key[j], key[i]
	}
	return key
}

// maxElems bounds the places that are kept of a list's elements. There is no
// use for more: a list with more is too long for every key.
const maxElems = MaxGlobs + 1

// locate finds the place of each key, value and list element. It reads a text
// like the TOML library as far as it is valid; what it makes of the rest does
// not matter, except that it always comes to an end. The caller treats a key
// without a place as standing where its table stands. Where the text is out of
// bounds, locate stops and says so.
func locate(text string) (root *node, stop *stop) {
	root = &node{}
	s := &scanner{text: text}
	table := root
	for {
		s.space(true)
		if s.pos >= len(s.text) {
			return root, s.stop
		}
		start := s.pos
		if s.text[s.pos] == '[' {
			s.pos++
			array := s.take('[')
			table = s.keys(root)
			table.array = table.array || array
			s.space(false)
			s.take(']')
			if array {
				s.take(']')
			}
		} else {
			s.pair(table)
		}
		if s.pos == start {
			s.pos++ // not TOML: skip it rather than stand still
		}
	}
}

type scanner struct {
	text string
	pos  int
	keyN int
	stop *stop
}

// stop is where and why a scan ended early.
type stop struct {
	at  int
	why string
}

// tooMuch ends the scan where a bound is exceeded.
func (s *scanner) tooMuch(n *node, at int) bool {
	var why string
	switch {
	case n.depth > maxDepth:
		why = fmt.Sprintf("keys and lists are nested more than %d deep", maxDepth)
	case n.key.end-n.key.start > maxKey:
		why = fmt.Sprintf("a key is longer than %d bytes", maxKey)
	case s.keyN > maxKeys:
		why = fmt.Sprintf("more than %d keys", maxKeys)
	default:
		return false
	}
	if s.stop == nil {
		s.stop = &stop{at, why}
	}
	s.pos = len(s.text)
	return true
}

// take skips c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// space skips blanks; with lines also line ends and comments.
func (s *scanner) space(lines bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t':
		case lines && (c == '\n' || c == '\r'):
		case lines && c == '#':
			if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
				s.pos += i
			} else {
				s.pos = len(s.text) - 1
			}
		default:
			return
		}
		s.pos++
	}
}

// pair reads "key = value" into the table.
func (s *scanner) pair(table *node) {
	n := s.keys(table)
	s.space(false)
	s.take('=')
	s.value(n)
}

// keys reads a key, dotted or not, and returns its last node.
func (s *scanner) keys(n *node) *node {
	s.keyN++
	for {
		s.space(false)
		start := s.pos
		name := s.name()
		n = n.child(name, span{start, s.pos})
		if s.tooMuch(n, start) {
			return n
		}
		s.space(false)
		if !s.take('.') {
			return n
		}
	}
}

func (s *scanner) name() string {
	start := s.pos
	if s.pos < len(s.text) && (s.text[s.pos] == '"' || s.text[s.pos] == '\'') {
		quote := s.text[s.pos]
		s.str()
		raw := s.text[start:s.pos]
		if quote == '"' && strings.IndexByte(raw, '\\') >= 0 {
			var v struct{ Name string }
			if _, err := toml.Decode("Name = "+raw, &v); err == nil {
				return v.Name
			}
		}
		if len(raw) >= 2 {
			return raw[1 : len(raw)-1]
		}
		return raw
	}
	for s.pos < len(s.text) && strings.IndexByte(" \t\r\n.=[]{},#\"'", s.text[s.pos]) < 0 {
		s.pos++
	}
	return s.text[start:s.pos]
}

// str skips a string of any of the four kinds; the opening quote comes next.
func (s *scanner) str() {
	q := s.text[s.pos : s.pos+1]
	multi := strings.HasPrefix(s.text[s.pos:], q+q+q)
	s.pos++
	if multi {
		s.pos += 2
	}
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '\\' && q == `"`:
			s.pos = min(s.pos+2, len(s.text))
			continue
		case c == '\n' && !multi:
			return
		case c == q[0] && !multi:
			s.pos++
			return
		case multi && strings.HasPrefix(s.text[s.pos:], q+q+q):
			s.pos += 3
			// Up to two quotes may stand before the closing three.
			for range 2 {
				s.take(q[0])
			}
			return
		}
		s.pos++
	}
}

// value reads a value into the node.
func (s *scanner) value(n *node) {
	s.space(false)
	start := s.pos
	if s.pos < len(s.text) && !s.tooMuch(n, start) {
		switch s.text[s.pos] {
		case '"', '\'':
			s.str()
		case '[':
			s.list(n)
		case '{':
			s.inline(n)
		default:
			for s.pos < len(s.text) && strings.IndexByte(",]}#\r\n", s.text[s.pos]) < 0 {
				s.pos++
			}
		}
	}
	end := start + len(strings.TrimRight(s.text[start:s.pos], " \t"))
	n.val = span{start, end}
}

func (s *scanner) list(n *node) {
	s.pos++
	for {
		s.space(true)
		for s.take(',') {
			s.space(true)
		}
		if s.pos >= len(s.text) || s.take(']') {
			return
		}
		start := s.pos
		e := &node{name: n.name, parent: n.parent, key: n.key, depth: n.depth + 1}
		s.value(e)
		if len(n.elems) < maxElems {
			n.elems = append(n.elems, e)
		}
		if s.pos == start {
			s.pos++
		}
	}
}

func (s *scanner) inline(n *node) {
	s.pos++
	for {
		s.space(true)
		for s.take(',') {
			s.space(true)
		}
		if s.pos >= len(s.text) || s.take('}') {
			return
		}
		start := s.pos
		s.pair(n)
		if s.pos == start {
			s.pos++
		}
	}
}
