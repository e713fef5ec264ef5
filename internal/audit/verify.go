package audit

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Finding is something about an audit trail that must not be.
type Finding struct {
	Chain int64     `json:"chain,omitempty"`
	ID    int64     `json:"id,omitempty"` // of the row that it was noticed at
	At    time.Time `json:"at,omitzero"`  // of that row
	Text  string    `json:"text"`
}

// String says where and what.
func (f Finding) String() string {
	where := ""
	if f.Chain > 0 {
		where = fmt.Sprintf("chain %d: ", f.Chain)
	}
	if f.ID > 0 {
		_, n := Chain(f.ID)
		where = fmt.Sprintf("chain %d, record %d (id %d", f.Chain, n, f.ID)
		if !f.At.IsZero() {
			where += ", " + f.At.UTC().Format(time.RFC3339)
		}
		where += "): "
	}
	return where + f.Text
}

// ChainStart is where a chain begins according to the database that holds it.
type ChainStart struct {
	ID, FirstID int64
	Anchor      Hash
}

// Verifier compares the rows of an audit trail, in the order of their ids,
// with each other and with what was attested. Its zero value is of no use.
type Verifier struct {
	attested Attested
	starts   map[int64]ChainStart

	loose bool // a chain may begin anywhere

	chain    int64 // the one that rows came of last
	previous int64 // id of the last row
	hash     Hash  // of the last row
	seen     map[int64]bool
	findings []Finding

	// Counts of rows.
	Rows       int64 // that were compared
	Unchained  int64 // older than chains: they can be neither confirmed nor doubted
	Unattested int64 // newer than the last checkpoint
	Retired    int64 // past their time and about to be removed
	GivenUp    int64 // from before the trail was begun anew: nobody vouches for them
}

// NewVerifier makes a Verifier. starts are the chains that the database knows.
func NewVerifier(attested Attested, starts []ChainStart) *Verifier {
	v := &Verifier{attested: attested, starts: map[int64]ChainStart{}, seen: map[int64]bool{}}
	for _, s := range starts {
		v.starts[s.ID] = s
	}
	return v
}

// NewLooseVerifier makes a Verifier of rows that are not the whole of a trail:
// a chain is taken up from the first row that is seen of it.
func NewLooseVerifier(attested Attested) *Verifier {
	v := NewVerifier(attested, nil)
	v.loose = true
	return v
}

// Row takes the next row with the hash that is stored beside it.
func (v *Verifier) Row(row *Row, stored Hash) {
	chain, n := Chain(row.ID)
	if chain == 0 {
		v.Unchained++
		return
	}
	state, known := v.attested.Chains[chain]
	if known && row.ID < state.FirstID {
		if state.GivenUp {
			v.GivenUp++
		} else {
			v.Retired++
		}
		return
	}
	v.Rows++
	if chain != v.chain {
		v.endChain()
		v.beginChain(chain, row)
		if v.loose {
			v.previous, v.hash = row.ID, stored
			return
		}
	}
	if row.ID != v.previous+1 {
		_, before := Chain(v.previous)
		v.find(row, fmt.Sprintf("records %d to %d before it are missing", before+1, n-1))
	} else if link, _ := row.Link(v.hash, nil); link != stored {
		v.find(row, changedText)
	}
	if known && row.ID == state.LastID && stored != state.LastHash {
		v.find(row, fmt.Sprintf("checkpoint of %s attests to another record here", v.attested.At.UTC().Format(time.RFC3339)))
	}
	if !known || row.ID > state.LastID {
		v.Unattested++
	}
	v.previous, v.hash = row.ID, stored
}

// beginChain sets what the first row of a chain must continue.
func (v *Verifier) beginChain(chain int64, row *Row) {
	v.chain, v.seen[chain] = chain, true
	if v.loose {
		return
	}
	start, registered := v.starts[chain]
	if state, ok := v.attested.Chains[chain]; ok {
		start = ChainStart{ID: chain, FirstID: state.FirstID, Anchor: state.Anchor}
	} else if !registered {
		v.find(row, unknownText)
		start.FirstID = row.ID
	} else if start.FirstID != RowID(chain, 1) {
		v.find(row, "its beginning was removed, and no checkpoint attests to that")
	}
	v.previous, v.hash = start.FirstID-1, start.Anchor
}

// endChain looks for rows that were there once.
func (v *Verifier) endChain() {
	state, ok := v.attested.Chains[v.chain]
	if ok && v.previous < state.LastID {
		v.findings = append(v.findings, Finding{Chain: v.chain, Text: fmt.Sprintf("its end is missing: %d records up to id %d that the checkpoint of %s attests to",
			state.LastID-v.previous, state.LastID, v.attested.At.UTC().Format(time.RFC3339))})
	}
}

func (v *Verifier) find(row *Row, text string) {
	chain, _ := Chain(row.ID)
	v.findings = append(v.findings, Finding{Chain: chain, ID: row.ID, At: time.UnixMicro(row.At), Text: text})
}

// Findings ends the comparison and returns what was found, nothing if the
// trail is intact.
func (v *Verifier) Findings() []Finding {
	v.endChain()
	v.chain = 0
	for _, id := range slices.Sorted(maps.Keys(v.attested.Chains)) {
		if state := v.attested.Chains[id]; !v.loose {
			v.lookUp(state)
		}
	}
	return v.findings
}

// lookUp compares what a database says of a chain with what is attested.
func (v *Verifier) lookUp(state ChainState) {
	text := ""
	start, registered := v.starts[state.ID]
	switch {
	case !v.seen[state.ID] && !state.empty():
		text = fmt.Sprintf("it is missing as a whole, with %d records", state.LastID-state.FirstID+1)
	case !registered:
		text = unknownText
	default:
		text = state.misplaced(start.FirstID, start.Anchor)
	}
	if text != "" {
		v.findings = append(v.findings, Finding{Chain: state.ID, Text: text})
	}
}

const unknownText = "the database knows no such chain"
