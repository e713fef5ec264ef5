package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
)

// checksumSuffix names the file that holds the checksum of a database which was
// closed in good order.
const checksumSuffix = "-checksum"

// checksumAtMost is up to which size a database gets a checksum, which reads all
// of it at each end and each start: some hundred milliseconds.
const checksumAtMost = 1 << 30 // bytes

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// closedInGoodOrder reports whether a database file is, byte for byte, what it
// was when it was closed, and no log belongs to it. Anything that is not as it
// should be counts as no: then the database is checked.
func closedInGoodOrder(path string) bool {
	written, err := os.ReadFile(path + checksumSuffix)
	if err != nil || hasLog(path) {
		return false
	}
	sum, err := checksumOf(path)
	return err == nil && sum == string(written)
}

// noteChecksum notes the checksum of a database that was closed, if nobody else
// has it open: the last one to close it removes the log. Who comes after that
// and writes changes what the checksum is of, and so makes it void.
func noteChecksum(path string) error {
	if hasLog(path) {
		return nil
	}
	sum, err := checksumOf(path)
	if err != nil || sum == "" {
		return err
	}
	// One that is torn by a crash equals none.
	err = os.WriteFile(path+checksumSuffix, []byte(sum), 0o600)
	return errors.Join(err, giveToOwner(path, path+checksumSuffix))
}

// hasLog reports whether there may be something in the log of a database.
func hasLog(path string) bool {
	info, err := os.Stat(path + "-wal")
	return !errors.Is(err, fs.ErrNotExist) && (err != nil || info.Size() > 0)
}

// checksumOf describes the content of a file; it is empty for one that is too
// large. It is for damage: whoever means to deceive can write a checksum too.
func checksumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() > checksumAtMost {
		return "", err
	}
	sum := crc32.New(castagnoli)
	n, err := io.CopyBuffer(sum, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return fmt.Sprintf("crc32c %08x of %d bytes\n", sum.Sum32(), n), err
}
