// Package lint finds rules of trust that trust more than their author can have
// meant, or nobody at all. It looks at what is configured and, where there is
// any, at what was seen in use; it decides nothing about tokens.
//
// It is pure: no I/O and no clock. What the platforms' subjects look like comes
// from package profile.
package lint
