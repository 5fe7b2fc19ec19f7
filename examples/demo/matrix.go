package main

import (
	"fmt"
	"strings"
)

// matrix counts how digits were read: by what they are, then by what they were taken for.
type matrix struct {
	counts  [10][10]int
	mistake digit // the first one
	readAs  int
	wrong   bool // there was one
}

func (m *matrix) add(d digit, readAs int) {
	m.counts[d.label][readAs]++
	if d.label != readAs && !m.wrong {
		m.mistake, m.readAs, m.wrong = d, readAs, true
	}
}

func (m *matrix) right() (n int) {
	for i := range m.counts {
		n += m.counts[i][i]
	}
	return n
}

// print shows the matrix with the mistake beside it.
func (m *matrix) print(s *screen) {
	beside := m.picture()
	s.line(s.indent() + "read as " + s.faint("   0   1   2   3   4   5   6   7   8   9") + beside[0])
	for label, counts := range m.counts {
		var row strings.Builder
		for readAs, n := range counts {
			cell := fmt.Sprintf("%4d", n)
			switch {
			case n == 0:
				cell = s.faint("   .")
			case readAs != label:
				cell = s.bad(cell)
			}
			row.WriteString(cell)
		}
		s.line(s.indent() + fmt.Sprintf("a %d     ", label) + row.String() + beside[label+1])
	}
}

// picture draws the mistake in eleven lines, two characters a pixel.
func (m *matrix) picture() (lines [11]string) {
	if !m.wrong {
		return lines
	}
	const shades = " .:-=+*#%@"
	lines[0] = fmt.Sprintf("    a %d, read as %d", m.mistake.label, m.readAs)
	for y := range side {
		var row strings.Builder
		for x := range side {
			shade := shades[int(m.mistake.image[y*side+x])*(len(shades)-1)/black]
			row.Write([]byte{shade, shade})
		}
		lines[y+2] = "    " + row.String()
	}
	return lines
}
