package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/penstock-mq/penstock/examples/clients/algebra"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// equations is how many systems are solved.
const equations = 20

// typed solves linear equations through a client that was generated from the contract of a Python function.
func (d *demo) typed(ctx context.Context, set []digit) error {
	const size = pixels
	for n := range equations {
		// The first digits as rows, with something on the diagonal so that there is one solution.
		a, b := make([]float64, 0, size*size), make([]float64, size)
		for row := range size {
			for column, pixel := range set[n*size+row].image {
				value := float64(pixel)
				if row == column {
					value += 1000
				}
				a = append(a, value)
			}
			b[row] = float64(row)
		}
		args := algebra.SolveArgs{A: typed.Matrix(size, size, a), B: typed.Vector(b...)}
		began := time.Now()
		handle, err := algebra.EnqueueSolve(ctx, d.client.Client, args, nil)
		if err != nil {
			return err
		}
		x, err := handle.Wait(ctx)
		d.tally.add("algebra.solve", handle.ID(), time.Since(began), err)
		if err != nil {
			return err
		}
		if off := residual(a, x.Data, b); off > 1e-6 {
			return fmt.Errorf("numpy's solution is off by %v", off)
		}
	}
	d.screen.say("typed", "algebra.solve is Python with type hints, called like a local function: %d systems of %d equations, "+
		"and every solution is right", equations, size)

	// What the contract forbids is not even sent.
	_, err := algebra.Solve(ctx, d.client.Client, algebra.SolveArgs{A: typed.Vector(1.0), B: typed.Vector(1.0)})
	var invalid *typed.InvalidError
	if !errors.As(err, &invalid) || invalid.Rule != "shape" {
		return fmt.Errorf("a vector for a matrix gave %v", err)
	}
	d.screen.say("", "a vector for a matrix is not sent: %s", d.screen.bad(invalid.Error()))
	return nil
}

// residual is how far a x is from b at most.
func residual(a, x, b []float64) (most float64) {
	for row := range b {
		sum := -b[row]
		for column := range x {
			sum += a[row*len(x)+column] * x[column]
		}
		most = max(most, math.Abs(sum))
	}
	return most
}
