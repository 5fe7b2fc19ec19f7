package amqpconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// Config says how to reach a broker.
type Config struct {
	URL          string        // amqp or amqps
	Name         string        // shown beside the connection in the broker's management pages
	TLS          *tls.Config   // nil: the URL's parameters and the system's authorities
	DialTimeout  time.Duration // for one attempt, handshake included
	WriteTimeout time.Duration // a write that takes longer ends the connection
	Heartbeat    time.Duration
}

// ParseURL returns what the URL says. Its errors do not repeat the URL, for that has a password in it.
func ParseURL(text string) (amqp.URI, error) {
	uri, err := amqp.ParseURI(text)
	if syntax := (*url.Error)(nil); errors.As(err, &syntax) {
		return uri, syntax.Err
	}
	return uri, err
}

// dial makes one attempt.
func dial(ctx context.Context, c Config) (*amqp.Connection, *socket, error) {
	uri, err := ParseURL(c.URL)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.DialTimeout)
	defer cancel()

	var s *socket
	stop := func() bool { return false }
	config := amqp.Config{Heartbeat: c.Heartbeat, Properties: amqp.NewConnectionProperties()}
	if c.TLS != nil {
		config.TLSClientConfig = c.TLS.Clone()
	}
	config.Properties.SetClientConnectionName(c.Name)
	if uri.AuthMechanism == nil {
		config.SASL = []amqp.Authentication{login{uri.PlainAuth(), config.Properties}}
	}
	config.Dial = func(network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		s = newSocket(conn, c.WriteTimeout)
		// The handshake knows no context: when ours ends, the socket is closed under it.
		stop = context.AfterFunc(ctx, func() { s.Close() })
		return s, nil
	}
	conn, err := amqp.DialConfig(c.URL, config)
	if stop(); ctx.Err() != nil {
		err = fmt.Errorf("not within %s: %w", c.DialTimeout, ctx.Err())
	}
	if err != nil {
		if s != nil {
			s.Close()
			<-s.done
		}
		return nil, nil, explain(uri, err)
	}
	return conn, s, nil
}

// login makes RabbitMQ say why it refuses a login. Without this capability it closes the socket without a
// word, which looks like any other broken connection. amqp091-go fills in the capabilities itself, just
// before it asks for the response; should it cease to, a refusal is merely explained less well.
type login struct {
	amqp.Authentication
	properties amqp.Table
}

func (l login) Response() string {
	if capabilities, ok := l.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return l.Authentication.Response()
}

// explain says in a sentence why there is no connection.
func explain(uri amqp.URI, err error) error {
	where := net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))
	var said *amqp.Error
	if !errors.As(err, &said) || !said.Server {
		return fmt.Errorf("%w: RabbitMQ at %s does not answer: %w", fault.ErrUnavailable, where, err)
	}
	switch said.Code {
	case amqp.AccessRefused:
		return fmt.Errorf("%w: RabbitMQ at %s refuses the user %q; check name and password in the URL: %w",
			fault.ErrDenied, where, uri.Username, err)
	case amqp.NotAllowed:
		return fmt.Errorf("%w: RabbitMQ at %s does not let the user %q into the virtual host %q: %w",
			fault.ErrDenied, where, uri.Username, uri.Vhost, err)
	}
	return fmt.Errorf("%w: RabbitMQ at %s: %w", fault.ErrUnavailable, where, err)
}

// hopeless tells whether trying again is no use until somebody has changed something.
func hopeless(err error) bool {
	var certificate *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	return errors.Is(err, fault.ErrDenied) || errors.Is(err, fault.ErrTopology) ||
		errors.As(err, &certificate) || errors.As(err, &noTLS)
}
