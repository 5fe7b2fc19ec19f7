package penstocktest

import "github.com/penstock-mq/penstock/producer_go/internal/double"

// Serve runs the jobs of a queue with these tasks, and no others.
func Serve(d *Double, queue string, tasks *double.Tasks) {
	d.broker.Tasks = tasks
	d.broker.Declare(queue)
}
