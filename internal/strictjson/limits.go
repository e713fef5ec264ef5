package strictjson

import "bytes"

// Limits bound a document before anything in it is interpreted. A zero limit
// allows nothing.
type Limits struct {
	Bytes   int // length of the document
	Depth   int // objects and arrays inside one another
	Members int // object members and array elements altogether; an empty object or array counts as one
}

// The limits of the kinds of document that the service reads.
var (
	Document   = Limits{Bytes: 1 << 20, Depth: 64, Members: 10000} // discovery documents, key sets, request bodies
	Claims     = Limits{Bytes: 16 << 10, Depth: 64, Members: 1000} // the payload of a client assertion
	JOSEHeader = Limits{Bytes: 4 << 10, Depth: 8, Members: 200}    // the protected header of a JWS
)

// enforce checks the limits in one pass that allocates nothing and knows just
// enough of JSON to tell strings from structure; the syntax is checked later.
// It returns how many members or elements the top-level value has.
func (lim Limits) enforce(doc []byte) (top int, err *Error) {
	if len(doc) > lim.Bytes {
		return 0, limitError(0, "JSON document too long")
	}
	depth, members := 0, 0
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			i = endOfString(doc, i)
		case '{', '[':
			depth++
			members++
			if depth > lim.Depth {
				return 0, limitError(i, "JSON nested too deeply")
			}
		case '}', ']':
			depth--
		case ',':
			members++
			if depth == 1 {
				top++
			}
		}
		if members > lim.Members {
			return 0, limitError(i, "too many JSON members")
		}
	}
	return top + 1, nil
}

// endOfString returns the index of the quote that closes the string opened at
// doc[start], or len(doc) if there is none. Each backslash is looked at once,
// so the cost is linear.
func endOfString(doc []byte, start int) int {
	for i := start + 1; ; i++ {
		n := bytes.IndexByte(doc[i:], '"')
		if n < 0 {
			return len(doc)
		}
		i += n
		backslashes := 0
		for i-1-backslashes > start && doc[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i
		}
	}
}
