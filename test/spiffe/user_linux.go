package spiffe

import (
	"errors"
	"net"
	"syscall"
)

// userOf is the user id of the process at the other end.
func userOf(socket *net.UnixConn) (uint32, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var user *syscall.Ucred
	control := raw.Control(func(fd uintptr) {
		user, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(control, err); err != nil {
		return 0, err
	}
	return user.Uid, nil
}
