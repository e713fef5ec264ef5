// Package githubactions runs the action of this repository as GitHub would: in
// a job of a real workflow, by act, which runs jobs on the machine itself. Only
// GitHub's issuer is played: an endpoint with the shape of the one that gives
// jobs their tokens.
package githubactions
