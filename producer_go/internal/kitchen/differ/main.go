// Differ says what Go makes of values, envelopes, contracts, and arguments, results and items of the tests' own tasks.
package main

import (
	"github.com/penstock-mq/penstock/producer_go/internal/contract"
	"github.com/penstock-mq/penstock/producer_go/internal/differ"
	"github.com/penstock-mq/penstock/producer_go/internal/kitchen"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func main() {
	differ.Main(
		differ.Args(kitchen.EverythingTask.Args), differ.Args(kitchen.LimitsTask.Args), differ.Args(kitchen.ArraysTask.Args),
		differ.Args(kitchen.NothingTask.Args), differ.Args(kitchen.NothingV2Task.Args), differ.Args(kitchen.WeatherTask.Args),
		differ.Args(kitchen.ServeTask.Args), differ.Args(kitchen.HeatTask.Args), differ.Args(kitchen.StackTask.Args),
		differ.Result(kitchen.EverythingTask.Result), differ.Result(kitchen.LimitsTask.Result),
		differ.Result(kitchen.ArraysTask.Result), differ.Result(kitchen.NothingTask.Result),
		differ.Result(kitchen.NothingV2Task.Result), differ.Result(kitchen.WeatherTask.Result),
		differ.Result(kitchen.ServeTask.Result), differ.Result(kitchen.HeatTask.Result), differ.Result(kitchen.StackTask.Result),
		differ.Result(kitchen.ServeTask.Items), differ.Result(kitchen.HeatTask.Items), differ.Result(kitchen.StackTask.Items),
		profile, job, answer, document,
	)
}

// profile reads any value of the profile.
func profile(body []byte) (differ.Verdict, []byte) {
	var value any
	if err := wire.Unmarshal(body, wire.MaxBodyBytes, &value); err != nil {
		return differ.Refused(err)
	}
	return differ.Written(wire.Marshal(value, wire.HardMaxBodyBytes))
}

// job reads a job.v1.
func job(body []byte) (differ.Verdict, []byte) {
	read, err := wire.DecodeJob(body, wire.MaxBodyBytes)
	if err != nil {
		return differ.Refused(err)
	}
	var args any
	if err := read.Args.(wire.Raw).Decode(&args); err != nil {
		return differ.Refused(err)
	}
	read.Args = args
	return differ.Written(wire.EncodeJob(read, wire.HardMaxBodyBytes))
}

// answer reads a result.v1.
func answer(body []byte) (differ.Verdict, []byte) {
	read, err := wire.DecodeResult(body, wire.MaxBodyBytes)
	if err != nil {
		return differ.Refused(err)
	}
	if raw, ok := read.Value.(wire.Raw); ok {
		var value any
		if err := raw.Decode(&value); err != nil {
			return differ.Refused(err)
		}
		read.Value = value
	}
	return differ.Written(wire.EncodeResult(read, wire.HardMaxBodyBytes))
}

// document reads a contract.
func document(text []byte) (differ.Verdict, []byte) {
	if _, err := contract.Read(text); err != nil {
		return differ.Misfit, nil
	}
	return differ.Kept, nil
}
