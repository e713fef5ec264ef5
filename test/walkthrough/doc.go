// Package walkthrough runs the commands of docs/walkthrough.md and of the trust
// guide, as they stand there, against "cambio dev". It is outside the product, like its reader.
package walkthrough
