package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"
)

// conn is one keep-alive HTTP/1.1 connection over TLS. It is written by hand
// because net/http's client costs as much as the servers that are measured.
// It is owned by one goroutine.
type conn struct {
	address string
	tls     *tls.Config
	net     net.Conn // nil: to be dialled
	reader  *bufio.Reader
	body    []byte // of the last reply
}

// maxReply bounds the reply's body, in bytes.
const maxReply = 64 << 10

// do sends one whole request and reads the reply.
func (c *conn) do(request []byte) (status int, err error) {
	if c.net == nil {
		if c.net, err = tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", c.address, c.tls); err != nil {
			c.net = nil
			return 0, err
		}
		c.reader = bufio.NewReaderSize(c.net, 16<<10)
	}
	if err = c.net.SetDeadline(time.Now().Add(30 * time.Second)); err == nil {
		_, err = c.net.Write(request)
	}
	keep := false
	if err == nil {
		status, keep, err = c.read()
	}
	if err != nil || !keep {
		c.close()
	}
	return status, err
}

func (c *conn) close() {
	if c.net != nil {
		_ = c.net.Close() // the exchange on it is over
		c.net = nil
	}
}

func (c *conn) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// read reads a reply with a Content-Length, the only kind that the servers
// here give.
func (c *conn) read() (status int, keep bool, err error) {
	line, err := c.line()
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, false, fmt.Errorf("not HTTP/1.1: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	size := -1
	for keep = true; ; {
		if line, err = c.line(); err != nil {
			return status, false, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			size, err = strconv.Atoi(string(value))
		case len(name) == 10 && bytes.EqualFold(name, []byte("connection")):
			keep = !bytes.EqualFold(value, []byte("close"))
		}
	}
	if err != nil || size < 0 || size > maxReply {
		return status, false, errors.New("the reply has no usable Content-Length")
	}
	c.body = slices.Grow(c.body[:0], size)[:size]
	_, err = io.ReadFull(c.reader, c.body)
	return status, keep, err
}
