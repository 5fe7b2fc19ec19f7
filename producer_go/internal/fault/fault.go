// Package fault has the errors that several packages return and package penstock exports. What each of them
// means for a job is said there, in errors.go.
package fault

import "errors"

var (
	ErrClosed      = errors.New("the client is closed")
	ErrDenied      = errors.New("access denied")
	ErrTopology    = errors.New("topology missing")
	ErrUnavailable = errors.New("server not available")
	ErrUnroutable  = errors.New("no queue takes the task")
	ErrRefused     = errors.New("refused by the broker")
	ErrUnknown     = errors.New("outcome unknown")
	ErrTooLarge    = errors.New("body too large")
	ErrReplyLost   = errors.New("reply lost")
)
