package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// errLog says that the log beside a database was damaged.
var errLog = errors.New("the log beside it (-wal) is damaged or cut off, and what was acknowledged last is in it; take the last good backup")

// checkLog refuses a write-ahead log that lost what was committed. SQLite reads
// a log up to the first frame that is not whole and takes what follows for what
// a crash left of a transaction: a bit that flips before the end takes back the
// transactions after it, deletions too, and nobody hears of it.
//
// Two things tell such a log from one that a crash cut off. The shared memory
// beside it (-shm), which outlives the process, says how far the log was
// committed, and is written after the log was synced. And no transaction begins
// before the one before it was synced, so that one at most lies behind the
// first frame that is not whole.
//
// The formats: https://www.sqlite.org/walformat.html.
func checkLog(path string) error {
	for {
		before, err := readLogIndex(path + "-shm")
		if err != nil {
			return err
		}
		l, err := readLog(path+"-wal", before)
		if err != nil || !l.lost(before) {
			return err
		}
		// Another process may write to it meanwhile, and begin it anew.
		after, err := readLogIndex(path + "-shm")
		if err != nil {
			return err
		}
		if after == before {
			return errLog
		}
	}
}

// salts tell the frames of a log from those of an earlier one in the same file.
type salts [8]byte

// logIndex is what the shared memory says of a log.
type logIndex struct {
	frames   uint32 // that are committed; 0: it says nothing
	checksum [2]uint32
	salts    salts
}

const logIndexSize = 48 // bytes; there are two copies

func readLogIndex(path string) (logIndex, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return logIndex{}, nil
	}
	if err != nil {
		return logIndex{}, err
	}
	defer f.Close()
	var raw [2 * logIndexSize]byte
	if _, err := io.ReadFull(f, raw[:]); err != nil {
		return logIndex{}, nil // too short to say anything
	}
	header, order := raw[:logIndexSize], binary.NativeEndian
	sum := checksum([2]uint32{}, order, header[:40])
	const initialized = 12
	if string(header) != string(raw[logIndexSize:]) || header[initialized] == 0 ||
		sum != [2]uint32{order.Uint32(header[40:]), order.Uint32(header[44:])} {
		return logIndex{}, nil
	}
	return logIndex{frames: order.Uint32(header[16:]), checksum: [2]uint32{order.Uint32(header[24:]), order.Uint32(header[28:])},
		salts: salts(header[32:40])}, nil
}

// logState is what was found in a log.
type logState struct {
	readable bool  // its header is whole
	salts    salts // of a readable one
	reached  bool  // what the index says is committed is there
	behind   int   // commits after the first frame that is not whole
	written  bool  // there is more than a header
}

// lost reports whether the log is not the one that the index describes, or
// lacks what was committed.
func (l logState) lost(index logIndex) bool {
	switch {
	case !l.readable:
		return index.frames > 0 || l.written
	case index.frames > 0 && index.salts == l.salts:
		return !l.reached
	}
	return l.behind > 1
}

const (
	logHeaderSize   = 32
	frameHeaderSize = 24
)

func readLog(path string, index logIndex) (logState, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return logState{}, nil
	}
	if err != nil {
		return logState{}, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	header := make([]byte, logHeaderSize)
	if _, err := io.ReadFull(in, header); err != nil {
		return logState{}, endOf(err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if header[3]&1 == 1 {
		order = binary.BigEndian
	}
	sum, pageSize := checksum([2]uint32{}, order, header[:24]), binary.BigEndian.Uint32(header[8:])
	if binary.BigEndian.Uint32(header)&^1 != 0x377f0682 || sum != sumAt(header[24:]) || pageSize < 512 || pageSize > 65536 {
		_, err := in.ReadByte()
		return logState{written: err == nil}, nil
	}
	l := logState{readable: true, salts: salts(header[16:24]), reached: index.frames == 0}
	frame, whole := make([]byte, frameHeaderSize+int(pageSize)), true
	for n := uint32(1); ; n++ {
		if _, err := io.ReadFull(in, frame); err != nil {
			return l, endOf(err)
		}
		if salts(frame[8:16]) != l.salts {
			whole = false // of an earlier log, or damaged
			continue
		}
		if whole {
			sum = checksum(checksum(sum, order, frame[:8]), order, frame[frameHeaderSize:])
			whole = sum == sumAt(frame[16:])
		}
		commits := binary.BigEndian.Uint32(frame[4:]) != 0
		if !whole && commits {
			l.behind++
		}
		if whole && n == index.frames {
			l.reached = sum == index.checksum
		}
	}
}

// endOf is nil for an end of a file, wherever it is.
func endOf(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return fmt.Errorf("reading the log: %w", err)
}

func sumAt(b []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// checksum continues SQLite's checksum of a log.
func checksum(sum [2]uint32, order binary.ByteOrder, data []byte) [2]uint32 {
	for i := 0; i+8 <= len(data); i += 8 {
		sum[0] += order.Uint32(data[i:]) + sum[1]
		sum[1] += order.Uint32(data[i+4:]) + sum[0]
	}
	return sum
}
