// Differ says what generated Go makes of bodies, for a test that asks Python the same.
//
// It reads frames from stdin and answers each on stdout:
//
//	request  length:u32  selector:u8  body     the selector is an index into subjects
//	answer   length:u32  verdict:u8   payload  'k' and the canonical bytes, 'm' and path NUL rule, 'p': breaks the profile,
//	                                           'c' and the code of the error that an envelope or a value alone gave
//
// Integers are big-endian; length counts everything after itself.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/penstock-mq/penstock/producer_go/internal/kitchen"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// subjects are what bodies are held against: arguments strictly, results tolerantly.
var subjects = []func(body []byte) (verdict byte, payload []byte){
	args(kitchen.EverythingTask.Args), args(kitchen.LimitsTask.Args), args(kitchen.ArraysTask.Args),
	args(kitchen.NothingTask.Args), args(kitchen.NothingV2Task.Args), args(kitchen.WeatherTask.Args),
	result(kitchen.EverythingTask.Result), result(kitchen.LimitsTask.Result), result(kitchen.ArraysTask.Result),
	result(kitchen.NothingTask.Result), result(kitchen.NothingV2Task.Result), result(kitchen.WeatherTask.Result),
	profile, job, answer,
}

// profile reads any value of the profile.
func profile(body []byte) (byte, []byte) {
	var value any
	if err := wire.Unmarshal(body, wire.MaxBodyBytes, &value); err != nil {
		return refused(err)
	}
	return written(wire.Marshal(value, wire.HardMaxBodyBytes))
}

// job reads a job.v1.
func job(body []byte) (byte, []byte) {
	read, err := wire.DecodeJob(body, wire.MaxBodyBytes)
	if err != nil {
		return refused(err)
	}
	var args any
	if err := read.Args.(wire.Raw).Decode(&args); err != nil {
		return refused(err)
	}
	read.Args = args
	return written(wire.EncodeJob(read, wire.HardMaxBodyBytes))
}

// answer reads a result.v1.
func answer(body []byte) (byte, []byte) {
	read, err := wire.DecodeResult(body, wire.MaxBodyBytes)
	if err != nil {
		return refused(err)
	}
	if raw, ok := read.Value.(wire.Raw); ok {
		var value any
		if err := raw.Decode(&value); err != nil {
			return refused(err)
		}
		read.Value = value
	}
	return written(wire.EncodeResult(read, wire.HardMaxBodyBytes))
}

func refused(err error) (byte, []byte) {
	var e *wire.Error
	if errors.As(err, &e) {
		return 'c', []byte(e.Code)
	}
	return 'e', []byte(err.Error())
}

func written(body []byte, err error) (byte, []byte) {
	if err != nil {
		return refused(err)
	}
	return 'k', body
}

func args[T any](codec typed.Codec[T]) func([]byte) (byte, []byte) { return judge(codec, true) }

func result[T any](codec typed.Codec[T]) func([]byte) (byte, []byte) { return judge(codec, false) }

func judge[T any](codec typed.Codec[T], strict bool) func([]byte) (byte, []byte) {
	return func(body []byte) (byte, []byte) {
		if wire.Check(body, wire.MaxBodyBytes) != nil {
			return 'p', nil
		}
		d := wire.NewReader(body, strict)
		value := typed.Decode(codec, d)
		if m := d.Misfit(); m != nil {
			return 'm', []byte(m.Path + "\x00" + m.Rule)
		}
		canonical, err := wire.MarshalAppender(codec.Value(&value), wire.MaxBodyBytes)
		if err != nil {
			return 'e', []byte(err.Error())
		}
		return 'k', canonical
	}
}

func main() {
	if err := serve(bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(in *bufio.Reader, out *bufio.Writer) error {
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); errors.Is(err, io.EOF) {
			return out.Flush()
		} else if err != nil {
			return err
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		verdict, payload := subjects[frame[0]](frame[1:])
		answer := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)))
		if _, err := out.Write(append(append(answer, verdict), payload...)); err != nil {
			return err
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}
