package audit

import (
	"crypto/sha256"
	"encoding/binary"
)

// Row is a record as it is stored. Rows form chains: each carries a hash over
// its own content and the hash of the row before it, so that no row can be
// changed, taken out, put in or moved without changing every hash after it.
type Row struct {
	ID       int64 // RowID
	At       int64 // microseconds since 1970-01-01 UTC
	Kind     string
	TenantID string
	ClientID string
	Code     int64
	Detail   []byte // the JSON of a Decision or a Change
}

// Hash is a link of a chain.
type Hash [sha256.Size]byte

// chainBits is how many bits of a row's id number it within its chain.
const chainBits = 40

// RowID is the id of the n-th row of a chain; both count from 1. Rows with
// ids of chain 0 are older than chains and have no hash.
func RowID(chain, n int64) int64 { return chain<<chainBits | n }

// Chain returns the chain that a row belongs to, and its number there.
func Chain(id int64) (chain, n int64) { return id >> chainBits, id & (1<<chainBits - 1) }

// Link returns the hash of the row that follows one with the hash previous:
// SHA-256 over previous, ID, At and Code as 8 bytes each, and then Kind,
// TenantID, ClientID and Detail, each after its length as 8 bytes; numbers are
// big-endian. buffer is scratch space, which is returned to be used again.
func (r *Row) Link(previous Hash, buffer []byte) (Hash, []byte) {
	b := append(buffer[:0], previous[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(r.At))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Code))
	for _, text := range [...]string{r.Kind, r.TenantID, r.ClientID} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.Detail)))
	b = append(b, r.Detail...)
	return sha256.Sum256(b), b
}
