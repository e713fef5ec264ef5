package audit

import (
	"crypto/sha256"
	"testing"
)

func TestRowIDs(t *testing.T) {
	for _, at := range [][2]int64{{1, 1}, {7, 1 << 39}, {1<<22 + 1, 12}} {
		if chain, n := Chain(RowID(at[0], at[1])); chain != at[0] || n != at[1] {
			t.Errorf("chain %d row %d became %d row %d", at[0], at[1], chain, n)
		}
	}
	if chain, n := Chain(4711); chain != 0 || n != 4711 {
		t.Errorf("an id of before the chains is row %d of chain %d", n, chain)
	}
}

// TestLinkDependsOnEverything: no two of these rows have a link in common, nor
// do two that differ only in where one field ends and the next begins.
func TestLinkDependsOnEverything(t *testing.T) {
	base := Row{ID: RowID(1, 1), At: 2, Kind: "exchange", TenantID: "t", ClientID: "c", Code: 3, Detail: []byte("{}")}
	variants := map[string]func(*Row){
		"same":     func(*Row) {},
		"id":       func(r *Row) { r.ID++ },
		"at":       func(r *Row) { r.At++ },
		"kind":     func(r *Row) { r.Kind = "change" },
		"tenant":   func(r *Row) { r.TenantID = "u" },
		"client":   func(r *Row) { r.ClientID = "d" },
		"code":     func(r *Row) { r.Code++ },
		"detail":   func(r *Row) { r.Detail = []byte("[]") },
		"boundary": func(r *Row) { r.TenantID, r.ClientID = "", "tc" },
	}
	seen := map[Hash]string{}
	var buffer []byte
	for name, change := range variants {
		row := base
		change(&row)
		var link Hash
		link, buffer = row.Link(sha256.Sum256(nil), buffer)
		if other, ok := seen[link]; ok {
			t.Errorf("%s and %s have the same link", name, other)
		}
		seen[link] = name
		if again, _ := row.Link(Hash{}, nil); again == link {
			t.Errorf("%s: the link does not depend on the one before", name)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	row := Row{ID: RowID(1, 1), Kind: "exchange", TenantID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", ClientID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", Detail: make([]byte, 1100)}
	var link Hash
	var buffer []byte
	for b.Loop() {
		link, buffer = row.Link(link, buffer)
	}
}
