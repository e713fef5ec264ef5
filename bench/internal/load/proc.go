package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// userHZ is the unit of the times in /proc, fixed on Linux.
const userHZ = 100

// meters are CPU times in seconds since some start.
type meters struct {
	server    float64 // user and system time of the server, all its threads
	system    float64 // its system time, in steps of 10 ms
	others    float64 // of the processes that work for the server
	generator float64 // of this process
	machine   float64 // busy time of all cores
}

func readMeters(pid int, others []int) (m meters, err error) {
	if m.server, err = processTime(pid); err != nil {
		return m, err
	}
	for _, other := range others {
		spent, _ := processTime(other) // it may have ended
		m.others += spent
	}
	if m.generator, err = processTime(os.Getpid()); err != nil {
		return m, err
	}
	m.machine = busyTime()
	m.system, err = systemTime(pid)
	return m, err
}

// processTime is the CPU time of a process to the nanosecond: the clock that
// clock_getcpuclockid(3) names. /proc has it in steps of 10 ms only.
func processTime(pid int) (float64, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of the kernel's posix-timers
	var at syscall.Timespec
	_, _, failed := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(^pid<<3|schedClock), uintptr(unsafe.Pointer(&at)), 0)
	if failed != 0 {
		return 0, fmt.Errorf("the CPU time of process %d: %w", pid, failed)
	}
	return float64(at.Nano()) / 1e9, nil
}

// systemTime is the part of a process' CPU time that the kernel took
// (proc(5), stat).
func systemTime(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command's name may hold spaces; what follows its parenthesis does not.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	}
	ticks, err := strconv.ParseFloat(fields[12], 64)
	return ticks / userHZ, err
}

// busyTime is the busy time of all cores; 0 when it cannot be read, which
// only spoils the figure for other load.
func busyTime() float64 {
	raw, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(raw), "\n")
	busy := 0.0
	for i, field := range strings.Fields(strings.TrimPrefix(first, "cpu")) {
		if i == 3 || i == 4 || i >= 7 { // idle, waiting for I/O, stolen, guests (counted as user time)
			continue
		}
		ticks, _ := strconv.ParseFloat(field, 64)
		busy += ticks
	}
	return busy / userHZ
}

// memory reads a size from a process' status (proc(5)), in MiB: VmHWM is the
// largest resident set so far, VmRSS the one now.
func memory(pid int, name string) float64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // 0 when it cannot be read
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
