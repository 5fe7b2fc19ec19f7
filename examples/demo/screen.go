package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// The report fits in 80 columns; the left one names what a line is about.
const (
	width     = 79
	labelWide = 11
)

// screen writes the report. It uses escape codes on a terminal only, and colours unless NO_COLOR is set.
type screen struct {
	out      io.Writer
	terminal bool
	colour   bool
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &screen{out: out, terminal: terminal, colour: terminal && os.Getenv("NO_COLOR") == ""}
}

func (s *screen) line(text string) { fmt.Fprintln(s.out, strings.TrimRight(text, " ")) }

func (s *screen) indent() string { return strings.Repeat(" ", labelWide) }

// say prints a sentence beside its label, in as many lines as it needs.
func (s *screen) say(label, format string, args ...any) {
	line := fmt.Sprintf("%-*s", labelWide, label)
	column := labelWide
	for i, word := range strings.Split(fmt.Sprintf(format, args...), " ") {
		if i > 0 && column+1+visible(word) > width {
			s.line(line)
			line, column = s.indent(), labelWide
		} else if i > 0 {
			line, column = line+" ", column+1
		}
		line, column = line+word, column+visible(word)
	}
	s.line(line)
}

// meanwhile shows on a terminal what is waited for, until the returned function is called.
func (s *screen) meanwhile(text string) (wipe func()) {
	if !s.terminal {
		return func() {}
	}
	fmt.Fprint(s.out, s.indent()+s.faint(text))
	return func() { fmt.Fprint(s.out, "\r\x1b[K") }
}

// ── colours ─────────────────────────────────────────────────────────────────────────────────────────

func (s *screen) good(text string) string  { return s.paint("32", text) }
func (s *screen) bad(text string) string   { return s.paint("31", text) }
func (s *screen) faint(text string) string { return s.paint("2", text) }

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// visible counts the characters of a word that are not escape codes.
func visible(word string) (n int) {
	for {
		before, code, found := strings.Cut(word, "\x1b[")
		n += utf8.RuneCountInString(before)
		if !found {
			return n
		}
		_, word, _ = strings.Cut(code, "m")
	}
}

// ── progress ────────────────────────────────────────────────────────────────────────────────────────

// bar is a progress bar: one line that is drawn again and again on a terminal, and once elsewhere.
type bar struct {
	screen *screen
	what   string
	total  int
	done   int
	began  time.Time
	drawn  time.Time
}

func (s *screen) progress(total int, what string) *bar {
	return &bar{screen: s, what: what, total: total, began: time.Now()}
}

func (b *bar) add(n int) {
	b.done += n
	if b.screen.terminal && time.Since(b.drawn) > 30*time.Millisecond {
		fmt.Fprint(b.screen.out, "\r"+b.text())
		b.drawn = time.Now()
	}
}

func (b *bar) end() {
	if b.screen.terminal {
		fmt.Fprint(b.screen.out, "\r")
	}
	b.screen.line(b.text())
}

func (b *bar) text() string {
	const wide = 40
	full := wide * b.done / b.total
	drawing := b.screen.good(strings.Repeat("=", full)) + strings.Repeat(" ", wide-full)
	return fmt.Sprintf("%s[%s] %d/%d %s, %.1f s",
		b.screen.indent(), drawing, b.done, b.total, b.what, time.Since(b.began).Seconds())
}
