package directory

import "unicode/utf8"

// wildcards is a comparand in which '?' stands for one character and '*' for
// any number of them, compiled to an automaton. Its state i means that the
// first i characters of the comparand, stars apart, are satisfied; a star
// lets a state stay. All states are followed at once, each as a bit, so that
// comparing takes one step for each 64 states and character of the value,
// whatever the comparand (R. Baeza-Yates, G. Gonnet, "A new approach to text
// searching", 1992). It is immutable.
type wildcards struct {
	words  int      // of 64 states
	last   int      // the state in which the comparand is satisfied
	stays  []uint64 // states with a star
	leaves []uint64 // states that a character leaves: words for '?' alone, then for each different character
	ascii  [utf8.RuneSelf]uint16
	others map[rune]int // which of leaves is a character's, beyond ASCII; absent: the first
}

// maxWords is enough for the states of the longest comparand.
const maxWords = MaxComparand/64 + 1

func compileWildcards(comparand string) *wildcards {
	words := utf8.RuneCountInString(comparand)/64 + 1
	w := &wildcards{words: words, stays: make([]uint64, words), leaves: make([]uint64, words)}
	for _, c := range comparand {
		bit := uint64(1) << (w.last % 64)
		switch c {
		case '*':
			w.stays[w.last/64] |= bit
			continue
		case '?':
			w.leaves[w.last/64] |= bit
		default:
			w.leaves[w.add(c)*words+w.last/64] |= bit
		}
		w.last++
	}
	for i := words; i < len(w.leaves); i++ {
		w.leaves[i] |= w.leaves[i%words] // '?' takes every character
	}
	return w
}

// add returns the index of a character's states, made if need be.
func (w *wildcards) add(c rune) int {
	if index := w.index(c); index != 0 {
		return index
	}
	index := len(w.leaves) / w.words
	w.leaves = append(w.leaves, make([]uint64, w.words)...)
	if c < utf8.RuneSelf {
		w.ascii[c] = uint16(index)
		return index
	}
	if w.others == nil {
		w.others = make(map[rune]int)
	}
	w.others[c] = index
	return index
}

func (w *wildcards) index(c rune) int {
	if c < utf8.RuneSelf {
		return int(w.ascii[c])
	}
	return w.others[c]
}

// match reports whether the whole value, valid UTF-8, satisfies the comparand.
func (w *wildcards) match(value string) bool {
	var buffer [maxWords]uint64
	states := buffer[:w.words]
	states[0] = 1
	for _, c := range value {
		at := w.index(c) * w.words
		leaves := w.leaves[at : at+w.words]
		var carry, alive uint64
		for i, now := range states {
			moved := now & leaves[i]
			states[i] = now&w.stays[i] | moved<<1 | carry
			carry = moved >> 63
			alive |= states[i]
		}
		if alive == 0 {
			return false
		}
	}
	return states[w.last/64]>>(w.last%64)&1 == 1
}

// bytes estimates the memory that the automaton holds.
func (w *wildcards) bytes() int {
	const self, perOther = 368, 48
	return self + 8*(len(w.stays)+cap(w.leaves)) + perOther*len(w.others)
}
