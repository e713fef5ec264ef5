package audit

import "fmt"

// precedes reports whether a chain in this state can have come to a later one,
// as far as the two alone tell.
func (s ChainState) precedes(later ChainState) bool {
	return later.FirstID >= s.FirstID && later.LastID >= s.LastID &&
		(later.FirstID > s.FirstID || later.Anchor == s.Anchor) &&
		(later.LastID > s.LastID || later.LastHash == s.LastHash)
}

// empty reports whether no row of the chain is kept.
func (s ChainState) empty() bool { return s.LastID < s.FirstID }

// Contradiction says what in the state of a chain, as a database has it now,
// cannot be if the state s was attested to; "" if nothing is. Whether the rows
// between the two lead from one to the other is for Extend to find out.
func (s ChainState) Contradiction(now ChainState) string {
	if text := s.misplaced(now.FirstID, now.Anchor); text != "" {
		return text
	}
	switch {
	case s.empty():
		return ""
	case now.LastID < s.LastID:
		return fmt.Sprintf("its end is missing: %d records up to id %d that a checkpoint attests to", s.LastID-max(now.LastID, s.FirstID-1), s.LastID)
	case now.LastID == s.LastID && now.LastHash != s.LastHash:
		return fmt.Sprintf("a checkpoint attests to another record with id %d", s.LastID)
	}
	return ""
}

// misplaced says what is wrong with where a database has a chain begin.
func (s ChainState) misplaced(firstID int64, anchor Hash) string {
	if firstID > s.FirstID || firstID < s.FirstID && !s.GivenUp {
		return fmt.Sprintf("the database lets it begin with id %d, and a checkpoint attests to id %d", firstID, s.FirstID)
	}
	if anchor != s.Anchor && !s.GivenUp {
		return "the database lets it continue another hash than a checkpoint attests to"
	}
	return ""
}

// Extend moves the end of the chain past the row that follows, with the hash
// that is stored beside it. It answers what is wrong, and leaves the state as
// it is; "" if nothing is.
func (s *ChainState) Extend(row *Row, stored Hash) string {
	if row.ID != s.LastID+1 {
		return fmt.Sprintf("records before it are missing, from id %d", s.LastID+1)
	}
	link, _ := row.Link(s.LastHash, nil)
	if link != stored {
		return changedText
	}
	s.LastID, s.LastHash = row.ID, link
	return ""
}

// Cut moves the beginning of the chain past its first row, as Extend does its
// end.
func (s *ChainState) Cut(row *Row, stored Hash) string {
	if row.ID != s.FirstID {
		return fmt.Sprintf("records before it are missing, from id %d", s.FirstID)
	}
	link, _ := row.Link(s.Anchor, nil)
	if link != stored || row.ID == s.LastID && link != s.LastHash {
		return changedText
	}
	s.FirstID, s.Anchor = row.ID+1, link
	return ""
}

const changedText = "it was changed, or the one before it was"
