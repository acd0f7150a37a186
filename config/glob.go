package config

import (
	"path"
	"strings"
	"unicode"
)

// maxGlob bounds a pattern, in bytes; a cgroup path of a pod has about 180.
const maxGlob = 512

// Glob is a pattern for a name. The whole name must match:
//
//	"*"      any characters, also none, also "/"
//	"?"      any one character, also "/"
//	"[a-z]"  one character of a class; "[^a-z]" is one outside it
//	"\c"     the character c itself
//
// Because "*" spans "/", the cgroup pattern "/slurm/*" matches every descendant
// of /slurm (not /slurm itself), and "/kubepods*" matches /kubepods,
// /kubepods.slice and all that is below them. "/slurm" matches only /slurm.
type Glob string

// PathGlob is a pattern for a file's path, with the semantics of [path.Match]:
// like [Glob], but "*", "?" and classes never match a "/".
type PathGlob string

// UnmarshalText reads a pattern. An empty, malformed or very long one, and one
// with control characters, is an error.
func (g *Glob) UnmarshalText(text []byte) error {
	if err := checkGlob(string(text)); err != nil {
		return err
	}
	*g = Glob(text)
	return nil
}

// UnmarshalText reads a pattern. It must start with "/": no path of an
// executable starts otherwise, so that it could match nothing.
func (g *PathGlob) UnmarshalText(text []byte) error {
	s := string(text)
	if err := checkGlob(s); err != nil {
		return err
	}
	if s[0] != '/' {
		return valueErrorf(`say a path such as "/usr/bin/python3*", or use comm for the name alone`,
			"%s does not start with a slash, so it matches no path", quote(s))
	}
	*g = PathGlob(text)
	return nil
}

func checkGlob(s string) *ValueError {
	switch {
	case s == "":
		return valueErrorf(`to match everything say "*"`, "the pattern is empty")
	case len(s) > maxGlob:
		return valueErrorf("", "%s is longer than %d bytes", quote(s), maxGlob)
	case strings.IndexFunc(s, unicode.IsControl) >= 0:
		return valueErrorf("", "%s has a control character", quote(s))
	case classWithSlash(s):
		return valueErrorf(`use "?" or write the alternatives out`, "%s has a slash between brackets", quote(s))
	}
	if _, err := path.Match(s, ""); err != nil {
		return valueErrorf(`to match a "[" or "\" itself, put a backslash before it and use 'single quotes'`,
			"%s is not a pattern", quote(s))
	}
	return nil
}

// Match reports whether the whole name matches. A malformed pattern, which
// UnmarshalText does not let through, matches nothing.
func (g Glob) Match(name string) bool {
	if g == "*" {
		return true
	}
	// path.Match stops its wildcards at "/" only. With the slashes on both
	// sides replaced by a character that neither can contain, they span them.
	const slash = "\x00"
	ok, err := path.Match(strings.ReplaceAll(string(g), "/", slash), strings.ReplaceAll(name, "/", slash))
	return ok && err == nil
}

// Match reports whether the whole path matches. A malformed pattern, which
// UnmarshalText does not let through, matches nothing.
func (g PathGlob) Match(name string) bool {
	ok, err := path.Match(string(g), name)
	return ok && err == nil
}

// MarshalText gives the pattern; UnmarshalText reads it back.
func (g Glob) MarshalText() ([]byte, error) { return []byte(g), nil }

// MarshalText gives the pattern; UnmarshalText reads it back.
func (g PathGlob) MarshalText() ([]byte, error) { return []byte(g), nil }

func (g Glob) String() string     { return string(g) }
func (g PathGlob) String() string { return string(g) }

// classWithSlash reports whether a class holds a slash. It is refused because
// Match would misread a range such as [/-9].
func classWithSlash(s string) bool {
	in := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if in && i < len(s) && s[i] == '/' {
				return true
			}
		case '[':
			in = true
		case ']':
			in = false
		case '/':
			if in {
				return true
			}
		}
	}
	return false
}

// shortest returns the length in bytes of the shortest name that the pattern
// can match, or a bit less where a class or "?" stands for a longer character.
func (g Glob) shortest() int {
	n := 0
	for s := string(g); s != ""; s = s[1:] {
		switch s[0] {
		case '*':
			continue
		case '\\':
			if len(s) > 1 {
				s = s[1:]
			}
		case '[':
			// "]" directly after "[" or "[^" cannot occur: path.Match refuses it.
			for len(s) > 1 && s[0] != ']' {
				if s[0] == '\\' {
					s = s[1:]
				}
				if len(s) > 1 {
					s = s[1:]
				}
			}
		}
		n++
	}
	return n
}
