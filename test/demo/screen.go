package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// screen shows a run while it goes on: a drawing that is redrawn in its place on a terminal, else a line per sample.
type screen struct {
	w        io.Writer
	terminal func() (view, bool)
	drawn    int             // lines of the last frame, which the next one replaces
	told     map[string]bool // texts of events that lines have told
	quiet    bool            // say nothing
}

func newScreen(w io.Writer, env func(string) string, quiet bool) *screen {
	s := &screen{w: w, quiet: quiet, told: map[string]bool{}, terminal: func() (view, bool) { return view{}, false }}
	f, ok := w.(*os.File)
	if !ok || env("TERM") == "dumb" {
		return s
	}
	s.terminal = func() (view, bool) {
		ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return view{}, false
		}
		v := view{width: int(ws.Col), height: int(ws.Row), color: env("NO_COLOR") == "", ascii: !unicodeLocale(env)}
		if v.width == 0 || v.height == 0 {
			v.width, v.height = 80, 24
		}
		return v, true
	}
	return s
}

// unicodeLocale says whether the terminal's characters are Unicode; where no locale is set they are taken to be.
func unicodeLocale(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if l := strings.ToLower(env(name)); l != "" {
			return strings.Contains(l, "utf-8") || strings.Contains(l, "utf8")
		}
	}
	return true
}

// say prints a line of its own, which stays.
func (s *screen) say(text string) {
	if !s.quiet {
		fmt.Fprintln(s.w, text)
		s.drawn = 0
	}
}

// show draws the run as it is.
func (s *screen) show(st *story) {
	if s.quiet {
		return
	}
	v, ok := s.terminal()
	if !ok {
		for _, e := range st.events() {
			if key := fmt.Sprintf("%.0f %s", e.at, e.text); !s.told[key] {
				s.told[key] = true
				fmt.Fprintf(s.w, "%5.1f s  %s\n", max(e.at, 0), e.text)
			}
		}
		fmt.Fprintln(s.w, row(st))
		return
	}
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	lines := frame(st, v)
	for _, l := range lines {
		b.WriteString("\r\x1b[K" + l + "\n")
	}
	b.WriteString("\x1b[J") // what a taller frame left
	s.drawn = len(lines)
	_, _ = io.WriteString(s.w, b.String()) // a terminal that went away ends the program by its signal
}
