package penstock_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
)

func TestJobsGoOverTLS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	f, url, authorities := brokertest.ForwardTLS(t, b.URL)
	b.client = b.open(t, func(o *penstock.Options) { o.URL, o.TLS = url, &tls.Config{RootCAs: authorities} })

	args := map[string]any{"x": make([]byte, 200_000)}
	if err := b.run(penstock.Job{Task: "q.f", Args: args}, nil); err != nil {
		t.Fatal(err)
	}
	f.Cut()
	eventually(t, "both connections are made again", func() bool { return b.client.Stats().Reconnects >= 2 })
	if err := b.run(penstock.Job{Task: "q.f", Args: args}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateNobodyKnowsIsRefused(t *testing.T) {
	t.Parallel()
	_, url, _ := brokertest.ForwardTLS(t, brokertest.Env(t, "PENSTOCK_AMQP_URL"))

	_, err := penstock.Open(within(t, 20*time.Second), penstock.Options{URL: url})

	mustBe(t, err, penstock.ErrUnavailable)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
}
