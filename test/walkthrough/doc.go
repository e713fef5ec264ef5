// Package walkthrough runs the commands of docs/walkthrough.md, as they stand
// there, against "cambio dev". It is outside the product, like its reader.
package walkthrough
