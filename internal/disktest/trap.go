//go:build linux && (amd64 || arm64)

package disktest

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call that has not been made yet.
type call struct {
	number int
	args   [6]uint64
}

// answer is what becomes of it: it is made, or it returns this.
type answer struct {
	made  bool
	value int64
	errno syscall.Errno
}

// trapped are the calls that change a file or a folder, or write one through. Go makes
// no others for package os and for bbolt; a record that lacks one shows, see Disk.Run.
var trapped = []uint32{
	unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_WRITEV, unix.SYS_PWRITEV, unix.SYS_FTRUNCATE, unix.SYS_TRUNCATE, unix.SYS_FALLOCATE,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC,
	unix.SYS_OPENAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT,
	unix.SYS_COPY_FILE_RANGE, unix.SYS_SENDFILE, unix.SYS_SPLICE,
}

// The kernel's struct seccomp_notif and struct seccomp_notif_resp.
type notification struct {
	id                 uint64
	pid, flags         uint32
	number             int32
	arch               uint32
	instructionPointer uint64
	args               [6]uint64
}

type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// trap runs fn, and asks decide what becomes of each of its trapped calls. fn has a
// thread of its own: what other goroutines do is not trapped.
func trap(fn func(), decide func(call) answer) error {
	var over [2]int // a pipe that is closed when fn has returned
	if err := unix.Pipe2(over[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	defer func() { _ = unix.Close(over[0]) }()
	listener := make(chan int, 1)
	failed := make(chan error, 1)
	returned := make(chan struct{}) // says so to the race detector as well, which knows nothing of pipes
	go func() {
		defer func() { _ = unix.Close(over[1]) }()
		defer close(returned)
		runtime.LockOSThread() // for ever: the filter ends with its thread
		fd, err := install()
		if err != nil {
			failed <- err
			return
		}
		listener <- fd
		fn()
	}()
	select {
	case err := <-failed:
		return err
	case fd := <-listener:
		defer func() { _ = unix.Close(fd) }()
		if err := supervise(fd, over[0], decide); err != nil {
			return err
		}
		<-returned
		return nil
	}
}

// install has the kernel ask before each trapped call of this thread.
func install() (listener int, err error) {
	const number, firstArg, thirdArg = 0, 16, 32 // offsets in struct seccomp_data
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k uint32, then, otherwise uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: then, Jf: otherwise}
	}
	give := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	program := []unix.SockFilter{
		load(number),
		equal(unix.SYS_WRITE, 0, 5),
		load(thirdArg), equal(8, 0, 1), give(unix.SECCOMP_RET_ALLOW), // Go's runtime wakes itself up, and would wait for itself
		load(firstArg), equal(2, 0, 1), // an even number of instructions to skip
	}
	program = append(program, give(unix.SECCOMP_RET_ALLOW), load(number))
	program[1].Jf = uint8(len(program) - 2)
	for _, n := range trapped {
		program = append(program, equal(n, 0, 1), give(unix.SECCOMP_RET_USER_NOTIF))
	}
	program = append(program, give(unix.SECCOMP_RET_ALLOW))
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(fd), nil
}

// supervise answers until it is over.
func supervise(fd, over int, decide func(call) answer) error {
	for {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(over)}}
		if _, err := unix.Poll(ready, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return os.NewSyscallError("poll", err)
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return nil
		}
		var n notification
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
			continue // it was interrupted, and comes again
		} else if err != nil {
			return os.NewSyscallError("ioctl", err)
		}
		a := decide(call{int(n.number), n.args})
		r := response{id: n.id, value: a.value, errno: -int32(a.errno)}
		if a.made {
			r = response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		}
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); err != nil {
			return os.NewSyscallError("ioctl", err)
		}
	}
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// memory copies what a call points to.
func memory(at, length uint64) []byte {
	if length == 0 {
		return nil
	}
	b := make([]byte, length)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(os.Getpid(), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err != nil || n == 0 {
		return nil
	}
	return b[:n]
}

// text copies a string that a call points to.
func text(at uint64) string {
	const page = 4096
	for b := []byte(nil); ; {
		more := memory(at, page-at%page)
		if more == nil {
			return ""
		}
		for i, c := range more {
			if c == 0 {
				return string(append(b, more[:i]...))
			}
		}
		b, at = append(b, more...), at+uint64(len(more))
	}
}
