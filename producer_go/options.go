package penstock

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Options say how to reach the servers. Only URL is required.
type Options struct {
	// URL of RabbitMQ: amqp://user:password@host:port/vhost, or amqps. Reserved characters in the name and
	// the password are percent-encoded.
	URL string

	// Results reads stored results; see package redisresults. Nil means that this client reads none. The
	// store is not closed by the client.
	Results ResultStore

	// Blobs keeps bodies that are too long for a message, of jobs and of results. Defaults to Results, if that
	// is a BlobStore, as the store of package redisresults is. Nil means that there are none: what is longer
	// than MaxBodyBytes is [ErrTooLarge]. The workers must use the same store.
	Blobs BlobStore

	// Namespace is the first word of every exchange, queue and Redis key. Defaults to "penstock".
	Namespace string

	// User is the name under which the broker knows this connection, which jobs carry and workers verify.
	// Defaults to the URL's user; set it where that is not the name, as with certificates.
	User string

	// Name is shown beside the connection in the broker's management pages. Defaults to
	// <program>@<host>#<pid>.
	Name string

	// TLS is used with amqps. Nil means the URL's parameters and the system's authorities.
	TLS *tls.Config

	// MaxBodyBytes is the longest body of a job or a result in a message. Defaults to 1 MiB, at most 16 MiB.
	// Workers have a limit of their own.
	MaxBodyBytes int

	// MaxBlobBytes is the longest body of a job or a result in Blobs. Defaults to 64 MiB, at most 512 MiB.
	// Workers have a limit of their own.
	MaxBlobBytes int

	// Compress lets bodies from 8 KiB be compressed with gzip, where they become shorter by that, and so the
	// results of their jobs. It spares the broker and the network at the price of CPU time on both sides.
	Compress bool

	// ConfirmWindow is how many jobs may await the broker's answer at once; further calls of Enqueue wait
	// for a place. Defaults to 1024; a place takes about 1 KiB. Whatever the window is, the bodies in it
	// have at most 32 MiB together.
	ConfirmWindow int

	// DialTimeout bounds one attempt to connect, handshake included. Defaults to 10 s.
	DialTimeout time.Duration

	// WriteTimeout is how long the broker may leave what was sent to it unread before the connection is
	// given up and made anew. Defaults to 10 s.
	WriteTimeout time.Duration

	// Heartbeat is how soon a connection is to show signs of life, in whole seconds; after one and a half
	// to two of them without it counts as lost. Defaults to 10 s. A heartbeat in the URL comes first.
	Heartbeat time.Duration
}

// withDefaults returns a copy in which zero values are replaced.
func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, wire.Namespace)
	o.Name = cmp.Or(o.Name, programName())
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, wire.MaxBodyBytes)
	o.MaxBlobBytes = cmp.Or(o.MaxBlobBytes, wire.MaxBlobBytes)
	if store, both := o.Results.(BlobStore); both && o.Blobs == nil {
		o.Blobs = store
	}
	o.ConfirmWindow = cmp.Or(o.ConfirmWindow, 1024)
	o.DialTimeout = cmp.Or(o.DialTimeout, 10*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, 10*time.Second)
	if uri, err := amqpconn.ParseURL(o.URL); err == nil {
		o.User = cmp.Or(o.User, uri.Username)
	}
	return o
}

// validate returns ErrOptions with all that is wrong, one sentence each.
func (o Options) validate() error {
	var problems []error
	refuse := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	if o.URL == "" {
		refuse("URL is empty; set it to amqp://user:password@host:5672/")
	} else if _, err := amqpconn.ParseURL(o.URL); err != nil {
		refuse("URL is not of the form amqp://user:password@host:5672/vhost: %w", err)
	} else if !wire.ValidWord(o.User, 64) {
		refuse("User %q is not 1 to 64 letters, digits, _ and -, which replies require", o.User)
	}
	if !wire.ValidWord(o.Namespace, 32) {
		refuse("Namespace %q is not 1 to 32 letters, digits, _ and -", o.Namespace)
	}
	if o.MaxBodyBytes < 1 || o.MaxBodyBytes > wire.HardMaxBodyBytes {
		refuse("MaxBodyBytes %d is not in 1 to %d", o.MaxBodyBytes, wire.HardMaxBodyBytes)
	}
	if o.MaxBlobBytes < 1 || o.MaxBlobBytes > wire.HardMaxBlobBytes {
		refuse("MaxBlobBytes %d is not in 1 to %d", o.MaxBlobBytes, wire.HardMaxBlobBytes)
	}
	if o.ConfirmWindow < 1 || o.ConfirmWindow > 65536 {
		refuse("ConfirmWindow %d is not in 1 to 65536", o.ConfirmWindow)
	}
	if o.DialTimeout < 0 || o.WriteTimeout < 0 {
		refuse("DialTimeout %s and WriteTimeout %s cannot be negative", o.DialTimeout, o.WriteTimeout)
	}
	if o.Heartbeat < time.Second {
		refuse("Heartbeat %s is less than 1 s", o.Heartbeat)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, errors.Join(problems...))
}

// longest returns the longest body of a job or a result, whatever way it goes.
func (o Options) longest() int {
	if o.Blobs == nil {
		return o.MaxBodyBytes
	}
	return max(o.MaxBodyBytes, o.MaxBlobBytes)
}

// roomHint says how longer bodies could be sent, if they could.
func (o Options) roomHint() string {
	if o.Blobs != nil {
		return ""
	}
	return fmt.Sprintf("; with a store in Options.Results, bodies of up to %d bytes travel through Redis", o.MaxBlobBytes)
}

func (o Options) connection(purpose string) amqpconn.Config {
	return amqpconn.Config{
		URL: o.URL, Name: o.Name + " " + purpose, TLS: o.TLS,
		DialTimeout: o.DialTimeout, WriteTimeout: o.WriteTimeout, Heartbeat: o.Heartbeat,
	}
}

func programName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s@%s#%d", filepath.Base(os.Args[0]), host, os.Getpid())
}
