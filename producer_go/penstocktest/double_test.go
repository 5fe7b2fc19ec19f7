package penstocktest_test

import (
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/double"
	"github.com/penstock-mq/penstock/producer_go/penstocktest"
)

func TestTheDoubleConforms(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T) bench { return &doubled{penstocktest.New(t), t} })
}

// doubled is the suite's bench in memory.
type doubled struct {
	*penstocktest.Double
	t *testing.T
}

func (d *doubled) client() *penstock.Client { return d.Client }
func (d *doubled) other() *penstock.Client  { return d.Open() }
func (d *doubled) queue(name string)        { d.Queue(name) }
func (d *doubled) full(name string)         { d.Full(name, true) }

func (d *doubled) tasks(tasks *double.Tasks) { penstocktest.Serve(d.Double, "q", tasks) }

func (d *doubled) loseConfirm(enqueue func()) {
	d.LoseConfirms(1)
	enqueue()
}

func (d *doubled) loseConfirms(enqueue func(), cancel func()) {
	d.LoseConfirms(-1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		enqueue()
	}()
	for deadline := time.Now().Add(10 * time.Second); len(d.Jobs()) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
}

func (d *doubled) loseReply(answer func()) {
	reconnects := d.Client.Stats().Reconnects
	d.LoseReplies(1)
	answer()
	for deadline := time.Now().Add(10 * time.Second); d.Client.Stats().Reconnects == reconnects && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

func (d *doubled) repeats() (all []int64) {
	for _, job := range d.Jobs() {
		all = append(all, int64(job.Repeat))
	}
	return all
}
