// Package diagnosis has the words of commands that find out why something does
// not work: one check after the other, each with what was found and what to do.
package diagnosis

// Result is how a check came out.
type Result string

// Results of a check.
const (
	OK   Result = "ok"
	Warn Result = "warn"
	Fail Result = "fail"
	Skip Result = "skip" // an earlier failure keeps it from being tried
)

// Check is one thing that must be right.
type Check struct {
	Name   string `json:"check"`
	Result Result `json:"result"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"` // what to do, unless it is ok
}

// Passed is a check that found nothing wrong.
func Passed(name, found string) Check { return Check{Name: name, Result: OK, Found: found} }

// Failed is a check that found why it does not work.
func Failed(name, found, remedy string) Check { return Check{name, Fail, found, remedy} }

// Doubtful is a check that found what may not be meant.
func Doubtful(name, found, remedy string) Check { return Check{name, Warn, found, remedy} }

// Skipped is a check that could not be tried.
func Skipped(name, found string) Check { return Check{Name: name, Result: Skip, Found: found} }

// Failures counts the checks that failed.
func Failures(checks []Check) int {
	failed := 0
	for _, k := range checks {
		if k.Result == Fail {
			failed++
		}
	}
	return failed
}
