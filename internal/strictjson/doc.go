// Package strictjson reads JSON documents that come from outside: claim sets,
// token headers, key sets, discovery documents and request bodies.
//
// Trust boundary: every byte given to this package is hostile. What it accepts
// has exactly one reading: RFC 8259 syntax, valid UTF-8 without lone
// surrogates, no member name twice in any object (RFC 8725 §2.4 and RFC 7519
// §4 leave that choice to the reader; another reader may choose differently),
// names compared byte by byte, nothing after the value, and bounded size,
// depth and number of elements. Values are never converted between types.
package strictjson
