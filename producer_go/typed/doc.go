// Package typed is what generated clients call: see cmd/penstock-gen. A program uses the generated package,
// and from this one [Array], [Options], [Handle] and [InvalidError].
//
//	summary, err := stats.Describe(ctx, client, stats.DescribeArgs{Values: typed.Vector(1.0, 2.0)})
//	if invalid := (*typed.InvalidError)(nil); errors.As(err, &invalid) {
//		// invalid.Path and invalid.Rule say which argument breaks which rule; nothing was sent
//	}
package typed
