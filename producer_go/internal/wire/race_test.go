//go:build race

package wire

// slower is how much the race detector costs at most.
const slower = 10
