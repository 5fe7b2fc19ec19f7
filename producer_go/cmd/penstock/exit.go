package main

import (
	"errors"
	"strings"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// usageError is a command line that cannot be understood; dataError is input that cannot be read.
type (
	usageError string
	dataError  string
)

func (e usageError) Error() string { return string(e) }
func (e dataError) Error() string  { return string(e) }

// exits is looked through from the top: an outcome that is unknown stays so, whatever else is known.
var exits = []struct {
	err    error
	name   string
	status int
}{
	{penstock.ErrUnknown, "TEMPFAIL", wire.ExitTempfail},
	{penstock.ErrUnroutable, "UNROUTABLE", wire.ExitUnroutable},
	{penstock.ErrTooLarge, penstock.CodeTooLarge, wire.ExitData},
	{penstock.ErrTopology, "CONFIG", wire.ExitConfig},
	{penstock.ErrDenied, "NOPERM", wire.ExitNoperm},
	{penstock.ErrOptions, "USAGE", wire.ExitUsage},
	{penstock.ErrRefused, "TEMPFAIL", wire.ExitTempfail},
	{penstock.ErrReplyLost, "TEMPFAIL", wire.ExitTempfail},
	{penstock.ErrItemsLost, "TEMPFAIL", wire.ExitTempfail},
	{penstock.ErrRestarted, "TEMPFAIL", wire.ExitTempfail},
	{penstock.ErrUnavailable, "UNAVAILABLE", wire.ExitUnavailable},
	{penstock.ErrNoResult, "TEMPFAIL", wire.ExitTempfail},
}

// classify returns the code to print and the exit status for an error.
func classify(err error) (name string, status int) {
	var remote *penstock.RemoteError
	var invalid *penstock.InvalidJobError
	var usage usageError
	var data dataError
	switch {
	case errors.As(err, &remote):
		return remote.Code, wire.ExitRemote
	case errors.As(err, &invalid) && invalid.Code == penstock.CodeInvalidArgs:
		return invalid.Code, wire.ExitData
	case errors.As(err, &invalid), errors.As(err, &usage):
		return "USAGE", wire.ExitUsage
	case errors.As(err, &data):
		return "DATA", wire.ExitData
	}
	for _, exit := range exits {
		if errors.Is(err, exit.err) {
			return exit.name, exit.status
		}
	}
	return "SOFTWARE", wire.ExitSoftware
}

// sentence is one line that begins with the code.
func sentence(code string, err error) string {
	text := strings.TrimPrefix(err.Error(), code+": ")
	return code + ": " + strings.ReplaceAll(text, "\n", "; ")
}
