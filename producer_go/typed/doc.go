// Package typed is what generated clients call: see cmd/penstock-gen. A program uses the generated package,
// and from this one [Array], [Options], [Handle] and [InvalidError].
//
//	summary, err := stats.Describe(ctx, client, stats.DescribeArgs{Values: typed.Vector(1.0, 2.0)})
//	if invalid := (*typed.InvalidError)(nil); errors.As(err, &invalid) {
//		// invalid.Path and invalid.Rule say which argument breaks which rule; nothing was sent
//	}
//
// The function of a task that yields is a loop over its items; its handle is a [StreamHandle].
//
//	for chunk, err := range stats.Read(ctx, client, stats.ReadArgs{Path: path}) {
//		...
//	}
package typed
