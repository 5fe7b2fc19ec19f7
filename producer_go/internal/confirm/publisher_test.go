package confirm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// script is a transport that answers as it is told, and then accepts.
type script struct {
	Transport
	answers  []error
	insisted []bool
}

func (s *script) Send(ctx context.Context, insist bool, prepare func(context.Context) (Message, error)) error {
	s.insisted = append(s.insisted, insist)
	if _, err := prepare(ctx); err != nil || len(s.answers) == 0 {
		return err
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return answer
}

func TestWhatAnAnswerMeansDependsOnWhatWentBefore(t *testing.T) {
	t.Parallel()
	lost := unknown(errors.New("lost"))
	refused := fmt.Errorf("%w: full", fault.ErrRefused)
	for name, c := range map[string]struct {
		answers []error
		repeats []int // what prepare was told
		want    []error
		not     error
	}{
		"accepted":                       {nil, []int{0}, nil, nil},
		"refused":                        {[]error{refused}, []int{0}, []error{fault.ErrRefused}, fault.ErrUnknown},
		"unroutable":                     {[]error{fault.ErrUnroutable}, []int{0}, []error{fault.ErrUnroutable}, fault.ErrUnknown},
		"not sent, then accepted":        {[]error{errNoChannel}, []int{0, 0}, nil, nil},
		"lost, then accepted":            {[]error{lost}, []int{0, 1}, nil, nil},
		"lost, then full, then accepted": {[]error{lost, refused, refused}, []int{0, 1, 1, 1}, nil, nil},
		"lost twice, then accepted":      {[]error{lost, lost}, []int{0, 1, 2}, nil, nil},
		"lost, then unroutable":          {[]error{lost, fault.ErrUnroutable}, []int{0, 1}, []error{fault.ErrUnknown, fault.ErrUnroutable}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{answers: c.answers}
			var repeats []int
			err := New(s).Publish(context.Background(), func(_ context.Context, n int) (Message, error) {
				repeats = append(repeats, n)
				return Message{}, nil
			})
			if !slices.Equal(repeats, c.repeats) || (err == nil) != (c.want == nil) || c.not != nil && errors.Is(err, c.not) {
				t.Fatalf("got %v after publications that were told of %v", err, repeats)
			}
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("got %v, which is not %v", err, want)
				}
			}
			for i, insisted := range s.insisted {
				if insisted != (repeats[i] > 0) {
					t.Errorf("publication %d insists: %t", i, insisted)
				}
			}
		})
	}
}

func TestAnUnknownOutcomeThatIsLearnedOtherwiseIsKnown(t *testing.T) {
	t.Parallel()
	s := &script{answers: []error{unknown(errors.New("lost"))}}
	err := New(s).Publish(context.Background(), func(_ context.Context, n int) (Message, error) {
		if n > 0 {
			return Message{}, ErrAccepted
		}
		return Message{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
