package contract

// The tests' own client, which has every type of the dialect.
//go:generate go run ../../cmd/penstock-gen -contracts ../../../tests/contract/tasks -out ..
