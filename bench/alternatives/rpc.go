package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
)

// rpc is a gRPC server of one process with threads.
type rpc struct {
	server     *exec.Cmd
	stdin      io.Closer
	connection *grpc.ClientConn
}

func openRPC(python, folder string) (*rpc, error) {
	server := exec.Command(python, filepath.Join(folder, "rpc_server.py"))
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	r := &rpc{server: server, stdin: stdin}
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		r.close()
		return nil, fmt.Errorf("the gRPC server did not start: %w", err)
	}
	r.connection, err = grpc.NewClient("127.0.0.1:"+strings.TrimSpace(port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rpc) call(ctx context.Context, work string) (int64, error) {
	var answer []byte
	if err := r.connection.Invoke(ctx, "/alternatives.Work/Call", []byte(work), &answer); err != nil {
		return 0, err
	}
	return number(answer)
}

// count reads what one call streams.
func (r *rpc) count(ctx context.Context, n int64, visit func(int64) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/alternatives.Work/Count")
	if err != nil {
		return err
	}
	if err := stream.SendMsg([]byte(strconv.FormatInt(n, 10))); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var item []byte
		switch err := stream.RecvMsg(&item); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		value, err := number(item)
		if err == nil {
			err = visit(value)
		}
		if err != nil {
			return err
		}
	}
}

func (r *rpc) close() {
	if r.connection != nil {
		_ = r.connection.Close()
	}
	_ = r.stdin.Close()
	// One that hangs with the GIL does not see that.
	_ = r.server.Process.Kill()
	_ = r.server.Wait()
}

// raw leaves bytes as they are: the cheapest codec there is.
type raw struct{}

var _ encoding.Codec = raw{}

func (raw) Marshal(value any) ([]byte, error) { return value.([]byte), nil }

func (raw) Unmarshal(data []byte, into any) error {
	*into.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "raw" }
