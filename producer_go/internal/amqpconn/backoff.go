package amqpconn

import "time"

const (
	firstDelay   = 100 * time.Millisecond
	longestDelay = 10 * time.Second
)

// Delay returns how long to wait after the failure with this number, counted from 0: a random part, seed in
// [0, 1), of a time that doubles up to longestDelay.
func Delay(failure int, seed float64) time.Duration {
	ceiling := longestDelay
	if failure < 7 {
		ceiling = min(firstDelay<<failure, longestDelay)
	}
	return time.Duration(seed * float64(ceiling))
}
