package wire

import (
	"fmt"
	"strconv"
	"unicode/utf16"
)

// refuse is the error for a value that cannot be written. Where the value stands is put in front of it by
// inside, once for each container on the way out.
func refuse(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidArgs, Message: ": " + fmt.Sprintf(format, args...)}
}

// inside puts a step of the path in front of the message, which begins with a path or with ": ".
func (e *Error) inside(step string) *Error {
	if e.Code == CodeInvalidArgs {
		return &Error{Code: e.Code, Message: step + e.Message}
	}
	return e
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// name is the step into a map: .key, or ["a key"] when it is no plain word.
func name(key string) string {
	if !plain(key) {
		return Quoted(key)
	}
	return "." + key
}

// Quoted is the step into a map at a key that is no plain word: ["a key"], as JSON in ASCII has it.
func Quoted(key string) string {
	b := []byte(`["`)
	for _, c := range key {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c >= ' ' && c < 0x7f:
			b = append(b, byte(c))
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return string(b) + `"]`
}

func plain(key string) bool {
	for _, c := range []byte(key) {
		if !isWordByte(c) {
			return false
		}
	}
	return key != ""
}
