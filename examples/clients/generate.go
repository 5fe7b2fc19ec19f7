// Package clients holds the generated clients of the example tasks, one package for each queue.
package clients

//go:generate go run github.com/penstock-mq/penstock/producer_go/cmd/penstock-gen -contracts ../../contracts/tasks
