module github.com/penstock-mq/penstock/tests/chaos/producer

go 1.26.0

require github.com/penstock-mq/penstock/producer_go v0.0.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/rabbitmq/amqp091-go v1.16.0 // indirect
	github.com/redis/go-redis/v9 v9.23.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace github.com/penstock-mq/penstock/producer_go => ../../../producer_go
