//go:build !cgo || !python

package main

import "errors"

func openEmbedded(string) (caller, error) {
	return nil, errors.New("built without the tag python")
}
