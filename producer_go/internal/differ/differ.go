// Package differ is a program that says what Go makes of bodies, for a test that asks Python the same.
//
// It reads frames from stdin and answers each on stdout:
//
//	request  length:u32  selector:u8  body     the selector is an index into the subjects
//	answer   length:u32  verdict:u8   payload  see [Verdict]
//
// Integers are big-endian; length counts everything after itself.
package differ

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// Verdict is what Go makes of a body.
type Verdict byte

// The verdicts, and the payload of each.
const (
	Kept    Verdict = 'k' // the canonical bytes
	Misfit  Verdict = 'm' // path NUL rule NUL kind
	Profile Verdict = 'p' // nothing: it breaks the profile
	Code    Verdict = 'c' // the code that an envelope or a value alone gave
	Failed  Verdict = 'e' // a text: this should not be
)

// Subject is what bodies are held against.
type Subject func(body []byte) (Verdict, []byte)

// Args holds bodies against the arguments of a task, strictly.
func Args[T any](codec typed.Codec[T]) Subject { return judge(codec, true) }

// Result holds bodies against the result of a task, tolerantly.
func Result[T any](codec typed.Codec[T]) Subject { return judge(codec, false) }

func judge[T any](codec typed.Codec[T], strict bool) Subject {
	return func(body []byte) (Verdict, []byte) {
		if wire.Check(body, wire.MaxBodyBytes) != nil {
			return Profile, nil
		}
		d := wire.NewReader(body, strict)
		value := typed.Decode(codec, d)
		if m := d.Misfit(); m != nil {
			return Misfit, []byte(m.Path + "\x00" + m.Rule + "\x00" + m.Kind)
		}
		return Written(wire.MarshalAppender(codec.Value(&value), wire.MaxBodyBytes))
	}
}

// Written is the verdict on a body that could be read, and is written again.
func Written(body []byte, err error) (Verdict, []byte) {
	if err != nil {
		return Refused(err)
	}
	return Kept, body
}

// Refused is the verdict on a body that could not be read.
func Refused(err error) (Verdict, []byte) {
	var e *wire.Error
	if errors.As(err, &e) {
		return Code, []byte(e.Code)
	}
	return Failed, []byte(err.Error())
}

// Main answers until stdin ends, and is all that the program does.
func Main(subjects ...Subject) {
	if err := serve(subjects, bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(subjects []Subject, in *bufio.Reader, out *bufio.Writer) error {
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
		if _, err := out.Write(append(append(answer, byte(verdict)), payload...)); err != nil {
			return err
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}
