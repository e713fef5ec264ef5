package audit

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// stored is a row as a database holds it.
type stored struct {
	Row
	hash Hash
}

// trail is an audit trail of some chains with signed checkpoints.
type trail struct {
	rows        []stored
	starts      []ChainStart
	checkpoints []SignedCheckpoint
	public      ed25519.PublicKey
}

// newTrail makes chains of n rows, all of them attested but for the last three
// of each.
func newTrail(t *testing.T, chains, n int) *trail {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trail{public: public}
	first, second := Checkpoint{ID: 1, At: time.UnixMicro(1e15)}, Checkpoint{ID: 2, At: time.UnixMicro(2e15)}
	for chain := int64(1); chain <= int64(chains); chain++ {
		seed := Hash{byte(chain)}
		tr.starts = append(tr.starts, ChainStart{chain, RowID(chain, 1), seed})
		hash := seed
		for i := range n {
			row := Row{ID: RowID(chain, int64(i+1)), At: 1e15 + int64(i), Kind: KindExchange, TenantID: "t", ClientID: fmt.Sprint(i % 3), Detail: fmt.Appendf(nil, `{"n":%d}`, i)}
			hash, _ = row.Link(hash, nil)
			tr.rows = append(tr.rows, stored{row, hash})
			state := ChainState{ID: chain, FirstID: RowID(chain, 1), Anchor: seed, LastID: row.ID, LastHash: hash}
			if i == n/2 && chain == 1 {
				first.Chains = append(first.Chains, state)
			}
			if i == n-4 {
				second.Chains = append(second.Chains, state)
			}
		}
	}
	signed, err := first.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	second.Previous = signed.Hash()
	again, err := second.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	tr.checkpoints = []SignedCheckpoint{signed, again}
	return tr
}

func (tr *trail) findings(t *testing.T) []Finding {
	t.Helper()
	attested, problems := Attest(tr.checkpoints, tr.public)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	v := NewVerifier(attested, tr.starts)
	for i := range tr.rows {
		v.Row(&tr.rows[i].Row, tr.rows[i].hash)
	}
	return v.Findings()
}

func (tr *trail) copy() *trail {
	c := *tr
	c.rows = slices.Clone(tr.rows)
	for i := range c.rows {
		c.rows[i].Detail = bytes.Clone(c.rows[i].Detail)
	}
	return &c
}

func TestIntactTrail(t *testing.T) {
	tr := newTrail(t, 3, 20)
	if f := tr.findings(t); len(f) > 0 {
		t.Error(f)
	}
	tr.rows = append([]stored{{Row: Row{ID: 17, Detail: []byte("{}")}}}, tr.rows...) // older than chains
	if f := tr.findings(t); len(f) > 0 {
		t.Error(f)
	}
}

// tamperings are the ways to change a trail at a row that is attested. Each
// changes something.
var tamperings = map[string]func(tr *trail, i int){
	"edit":        func(tr *trail, i int) { tr.rows[i].Detail[1] ^= 1 },
	"edit time":   func(tr *trail, i int) { tr.rows[i].At++ },
	"edit client": func(tr *trail, i int) { tr.rows[i].ClientID += "x" },
	"edit hash":   func(tr *trail, i int) { tr.rows[i].hash[3] ^= 4 },
	"delete":      func(tr *trail, i int) { tr.rows = slices.Delete(tr.rows, i, i+1) },
	"swap": func(tr *trail, i int) {
		a, b := &tr.rows[i], &tr.rows[i+1]
		a.ID, b.ID = b.ID, a.ID
		*a, *b = *b, *a
	},
	"rewrite": func(tr *trail, i int) { // with all hashes after it
		tr.rows[i].Detail = []byte(`{"n":"another"}`)
		chain, _ := Chain(tr.rows[i].ID)
		hash := Hash{byte(chain)}
		for k := range tr.rows {
			if c, _ := Chain(tr.rows[k].ID); c == chain {
				tr.rows[k].hash, _ = tr.rows[k].Link(hash, nil)
				hash = tr.rows[k].hash
			}
		}
	},
	"truncate": func(tr *trail, i int) {
		chain, _ := Chain(tr.rows[i].ID)
		tr.rows = slices.DeleteFunc(tr.rows, func(s stored) bool { c, _ := Chain(s.ID); return c == chain && s.ID >= tr.rows[i].ID })
	},
	"insert": func(tr *trail, i int) { tr.rows = slices.Insert(tr.rows, i, tr.rows[i]) },
	"cut beginning": func(tr *trail, i int) {
		chain, _ := Chain(tr.rows[i].ID)
		tr.starts[chain-1] = ChainStart{chain, tr.rows[i].ID, tr.rows[i].hash}
		tr.rows = slices.DeleteFunc(tr.rows, func(s stored) bool { c, _ := Chain(s.ID); return c == chain && s.ID <= tr.rows[i].ID })
	},
	"remove chain": func(tr *trail, i int) {
		chain, _ := Chain(tr.rows[i].ID)
		tr.rows = slices.DeleteFunc(tr.rows, func(s stored) bool { c, _ := Chain(s.ID); return c == chain })
		tr.starts = slices.DeleteFunc(slices.Clone(tr.starts), func(s ChainStart) bool { return s.ID == chain })
	},
}

// TestTamperingIsFound: security.md's R14 asks for 1,000 of 1,000.
func TestTamperingIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const chains, n, each = 3, 40, 1000
	good := newTrail(t, chains, n)
	for name, tamper := range tamperings {
		missed := 0
		for range each {
			tr := good.copy()
			tr.starts = slices.Clone(good.starts)
			tamper(tr, random.IntN(chains)*n+random.IntN(n-5)) // one that is attested
			if len(tr.findings(t)) == 0 {
				missed++
			}
		}
		if missed > 0 {
			t.Errorf("%s: %d of %d were not found", name, missed, each)
		}
	}
}

func TestCheckpointsThatWereTamperedWith(t *testing.T) {
	good := newTrail(t, 2, 20)
	for name, tamper := range map[string]func(*trail){
		"body": func(tr *trail) {
			tr.checkpoints[1].Body = bytes.Replace(tr.checkpoints[1].Body, []byte(`"id":2`), []byte(`"id":3`), 1)
		},
		"signature": func(tr *trail) { tr.checkpoints[0].Signature = make([]byte, 64) },
		"key":       func(tr *trail) { tr.public, _, _ = ed25519.GenerateKey(nil) },
		"first":     func(tr *trail) { tr.checkpoints = tr.checkpoints[1:] },
		"order":     func(tr *trail) { slices.Reverse(tr.checkpoints) },
		"number":    func(tr *trail) { tr.checkpoints[1].ID = 7 },
	} {
		tr := good.copy()
		tr.checkpoints = slices.Clone(good.checkpoints)
		tamper(tr)
		if _, problems := Attest(tr.checkpoints, tr.public); len(problems) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

// TestRetention: what a checkpoint lets go may be there or not.
func TestRetention(t *testing.T) {
	tr := newTrail(t, 1, 20)
	_, private, _ := ed25519.GenerateKey(nil)
	tr.public = private.Public().(ed25519.PublicKey)
	cut := tr.rows[9]
	c := Checkpoint{ID: 9, Complete: true, Chains: []ChainState{{ID: 1, FirstID: cut.ID + 1, Anchor: cut.hash, LastID: tr.rows[15].ID, LastHash: tr.rows[15].hash}}}
	signed, err := c.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	tr.checkpoints = []SignedCheckpoint{signed}
	tr.starts = []ChainStart{{1, cut.ID + 1, cut.hash}}
	for removed := range 11 {
		half := tr.copy()
		half.rows = half.rows[removed:]
		if f := half.findings(t); len(f) > 0 {
			t.Errorf("%d removed: %v", removed, f)
		}
	}
	tr.rows = tr.rows[11:]
	if len(tr.findings(t)) == 0 {
		t.Error("a record too many was removed, and nothing was found")
	}
}
