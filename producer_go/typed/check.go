package typed

import (
	"math"
	"regexp"
	"time"
	"unicode/utf8"
)

// Finite reports whether f is neither NaN nor an infinity.
func Finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// Runes counts the code points of a str.
func Runes(s string) int { return utf8.RuneCountInString(s) }

const maxDecimal = 400 // bytes

var (
	decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	uuid    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// IsDecimal reports whether s is a decimal number such as -12.50.
func IsDecimal(s string) bool { return len(s) <= maxDecimal && decimal.MatchString(s) }

// IsUUID reports whether s is a UUID in lower case.
func IsUUID(s string) bool { return uuid.MatchString(s) }

// IsDate reports whether s is a date that exists, YYYY-MM-DD, in the years 1 to 9999.
func IsDate(s string) bool {
	t, err := time.Parse(time.DateOnly, s)
	return err == nil && t.Year() >= 1
}

// IsTime reports whether t lies in the years 1 to 9999, as timestamps do.
func IsTime(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1 && year <= 9999
}
