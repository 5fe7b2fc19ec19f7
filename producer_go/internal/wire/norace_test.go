//go:build !race

package wire

// slower is how much the race detector costs at most: it is off.
const slower = 1
