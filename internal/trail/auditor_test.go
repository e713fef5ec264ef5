package trail_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/trail"
)

// auditor verifies a trail by what docs/audit.md says and nothing else: none
// of the program's own code.
type auditor struct {
	db    *sql.DB
	key   ed25519.PublicKey
	wrong []string
}

type attestedChain struct {
	ID, FirstID, LastID int64
	Anchor, LastHash    string
	GivenUp             bool
}

type checkpointBody struct {
	ID       int64
	Previous string
	Complete bool
	Anew     []struct{ Checkpoint int64 }
	Chains   []attestedChain
}

func (a *auditor) find(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

// each calls do for each row of a query.
func (a *auditor) each(query string, do func(scan func(...any) error) error) {
	rows, err := a.db.Query(query)
	if err != nil {
		a.find("%s: %v", query, err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows.Scan); err != nil {
			a.find("%s: %v", query, err)
			return
		}
	}
	if err := rows.Err(); err != nil {
		a.find("%s: %v", query, err)
	}
}

// attested is steps 1 to 3.
func (a *auditor) attested() map[int64]attestedChain {
	chains := map[int64]attestedChain{}
	last, previous := int64(0), ""
	a.each("SELECT id, body, signature FROM audit_checkpoints ORDER BY id", func(scan func(...any) error) error {
		var id int64
		var body, signature []byte
		if err := scan(&id, &body, &signature); err != nil {
			return err
		}
		var c checkpointBody
		if !ed25519.Verify(a.key, append([]byte("cambio audit checkpoint\n"), body...), signature) {
			a.find("signature of %d", id)
			return nil
		}
		if err := json.Unmarshal(body, &c, json.MatchCaseInsensitiveNames(true)); err != nil {
			return err
		}
		anew := len(c.Anew) > 0 && c.Anew[len(c.Anew)-1].Checkpoint == c.ID
		switch {
		case anew:
			a.wrong = nil
			clear(chains)
		case c.ID != id, last > 0 && c.ID != last+1, last == 0 && id != 1 && !c.Complete, last > 0 && c.Previous != previous:
			a.find("checkpoint %d does not follow", id)
		}
		named := 0
		for _, chain := range c.Chains {
			if p, ok := chains[chain.ID]; ok {
				named++
				if chain.FirstID < p.FirstID || chain.LastID < p.LastID || chain.FirstID == p.FirstID && chain.Anchor != p.Anchor || chain.LastID == p.LastID && chain.LastHash != p.LastHash {
					a.find("checkpoint %d contradicts an earlier one", id)
				}
			}
		}
		if c.Complete && named < len(chains) {
			a.find("checkpoint %d leaves out chains", id)
		}
		for _, chain := range c.Chains {
			chains[chain.ID] = chain
		}
		sum := sha256.Sum256(body)
		last, previous = id, hex.EncodeToString(sum[:])
		return nil
	})
	return chains
}

// chains is step 4. What it returns is where each chain begins.
func (a *auditor) chains(attested map[int64]attestedChain) map[int64]attestedChain {
	begins := map[int64]attestedChain{}
	a.each("SELECT id, first_id, anchor FROM audit_chains", func(scan func(...any) error) error {
		var c attestedChain
		var anchor []byte
		if err := scan(&c.ID, &c.FirstID, &anchor); err != nil {
			return err
		}
		c.Anchor = hex.EncodeToString(anchor)
		begins[c.ID] = c
		return nil
	})
	for id, c := range attested {
		b, ok := begins[id]
		if !ok || b.FirstID > c.FirstID || !c.GivenUp && (b.FirstID != c.FirstID || b.Anchor != c.Anchor) {
			a.find("place of chain %d", id)
		}
		begins[id] = c
	}
	for id, c := range begins {
		if _, ok := attested[id]; !ok && c.FirstID != id<<40+1 {
			a.find("beginning of chain %d", id)
		}
	}
	return begins
}

// link is the formula of a record's hash.
func link(previous []byte, id, at, code int64, texts ...string) []byte {
	h := sha256.New()
	h.Write(previous)
	for _, n := range []int64{id, at, code} {
		_ = binary.Write(h, binary.BigEndian, n) // a hash takes everything
	}
	for _, text := range texts {
		_ = binary.Write(h, binary.BigEndian, int64(len(text)))
		h.Write([]byte(text))
	}
	return h.Sum(nil)
}

// verify is all of it; step 5 is here.
func (a *auditor) verify() []string {
	a.wrong = nil
	attested := a.attested()
	begins := a.chains(attested)
	next, hash := map[int64]int64{}, map[int64][]byte{}
	a.each("SELECT id, at, kind, tenant_id, client_id, code, detail, hash FROM audit WHERE id >= 1099511627776 ORDER BY id", func(scan func(...any) error) error {
		var id, at, code int64
		var kind, tenant, client, detail string
		var stored []byte
		if err := scan(&id, &at, &kind, &tenant, &client, &code, &detail, &stored); err != nil {
			return err
		}
		chain := id >> 40
		begin, ok := begins[chain]
		if !ok {
			a.find("chain %d has no row", chain)
			return nil
		}
		if id < begin.FirstID {
			return nil
		}
		if next[chain] == 0 {
			next[chain] = begin.FirstID
			hash[chain], _ = hex.DecodeString(begin.Anchor)
		}
		computed := link(hash[chain], id, at, code, kind, tenant, client, detail)
		if id != next[chain] || !bytes.Equal(computed, stored) || id == begin.LastID && hex.EncodeToString(stored) != begin.LastHash {
			a.find("record %d", id)
		}
		next[chain], hash[chain] = id+1, stored
		return nil
	})
	for id, c := range attested {
		if c.LastID >= c.FirstID && next[id] <= c.LastID {
			a.find("the end of chain %d is missing", id)
		}
	}
	return a.wrong
}

func newAuditor(w *world) *auditor {
	driver, name := "sqlite", w.cfg.Path
	if w.cfg.DSN != "" {
		driver, name = "pgx", w.cfg.DSN
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { db.Close() })
	return &auditor{db: db, key: w.Key.Public().(ed25519.PublicKey)}
}

// TestAuditorsOwnVerification: who follows docs/audit.md comes to the same
// results.
func TestAuditorsOwnVerification(t *testing.T) {
	for name, forge := range forgeries {
		w := forged(t, forge)
		if found := newAuditor(w).verify(); len(found) == 0 {
			t.Errorf("%s: the auditor finds nothing", name)
		}
	}
	w := forged(t, func(*world) {})
	a := newAuditor(w)
	intact := func(what string) {
		t.Helper()
		if found := a.verify(); len(found) > 0 {
			t.Errorf("%s: %v", what, found)
		}
	}
	intact("a trail")
	w.MaxRecords = 12
	w.keep()
	w.keep()
	intact("after records were let go")
	forgeries["another anchor"](w)
	w.now = w.now.Add(time.Minute)
	if _, err := trail.BeginAnew(t.Context(), w.Config); err != nil {
		t.Fatal(err)
	}
	w.record(3)
	w.MaxRecords = 0
	w.keep()
	intact("begun anew")
}
