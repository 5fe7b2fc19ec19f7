package penstock_test

import (
	"testing"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

func TestARemoteErrorSaysNoMoreThanItKnows(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*penstock.RemoteError{
		"EMPTY: no values (job 1, task stats.mean, failed at attempt 2)": {
			Code: "EMPTY", Message: "no values", JobID: "1", Task: "stats.mean", Attempt: 2,
		},
		"EMPTY (job 1, task stats.mean, failed before it was tried)": {Code: "EMPTY", JobID: "1", Task: "stats.mean"},
		"EMPTY (task stats.mean)":                                    {Code: "EMPTY", Task: "stats.mean"}, // what errors.Is looks for
		"EMPTY":                                                      {Code: "EMPTY"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
