package redisresults_test

import (
	"testing"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logging.Disable() // outages are what is tested
	goleak.VerifyTestMain(m)
}
