package wire

import "strings"

// ValidTask tells whether name fits GrammarTask and MaxTaskBytes.
func ValidTask(name string) bool {
	queue, function, found := strings.Cut(name, ".")
	if !found || len(name) > MaxTaskBytes || !ValidWord(queue, 64) {
		return false
	}
	for word := range strings.SplitSeq(function, ".") {
		if !ValidWord(word, MaxTaskBytes) {
			return false
		}
	}
	return true
}

// ValidWord tells whether name is 1 to longest characters of A-Z, a-z, 0-9, _ and -; with 64 that is
// GrammarQueue, GrammarUser and GrammarInstance, with 32 GrammarNamespace.
func ValidWord(name string, longest int) bool {
	if name == "" || len(name) > longest {
		return false
	}
	for i := range len(name) {
		if !isWordByte(name[i]) {
			return false
		}
	}
	return true
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// ValidJobID tells whether id fits GrammarJobID: a UUIDv7 in lower case.
func ValidJobID(id string) bool {
	if len(id) != 36 || id[14] != '7' || !strings.Contains("89ab", id[19:20]) {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// Fill replaces each {name} in a template of the registry by its value:
//
//	Fill(ResultKey, "namespace", "penstock", "job_id", id) // penstock:result:{<id>}
//
// The second pair of braces around job_id stays, for it is part of the key.
func Fill(template string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		template = strings.ReplaceAll(template, "{"+pairs[i]+"}", pairs[i+1])
	}
	return template
}
