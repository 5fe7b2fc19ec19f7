package main

import (
	"context"
	"fmt"
	"math"
)

// calls is how many norms are asked for, one after the other.
const calls = 200

type normArgs struct {
	X []float64 `msgpack:"x"`
}

// norms calls numpy.linalg.norm, which no Python code of ours wraps, and checks its answers.
func (d *demo) norms(ctx context.Context, set []digit) error {
	for _, digit := range set[:calls] {
		args := normArgs{X: make([]float64, pixels)}
		var sum, norm float64
		for i, pixel := range digit.image {
			args.X[i] = float64(pixel)
			sum += args.X[i] * args.X[i]
		}
		if err := d.call(ctx, "stats.norm", args, &norm); err != nil {
			return err
		}
		if own := math.Sqrt(sum); math.Abs(norm-own) > 1e-9*own {
			return fmt.Errorf("numpy says %v where Go says %v", norm, own)
		}
	}
	d.screen.say("stats", "stats.norm is numpy.linalg.norm, exposed without a wrapper: %d calls, one at a time, "+
		"and every answer is what Go computes itself", calls)
	return nil
}
