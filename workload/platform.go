package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
)

// DefaultAudience is the audience that the platform's token is obtained for
// unless another is asked for. It is Entra's.
const DefaultAudience = "api://AzureADTokenExchange"

// Source obtains the platform's token for an audience. Platforms whose token
// was made beforehand ignore the audience.
type Source func(ctx context.Context, audience string) (string, error)

// Environment is where platforms are looked for. The zero value is this
// process, with the system's certificate authorities.
type Environment struct {
	Getenv   func(string) string          // nil: os.Getenv
	ReadFile func(string) ([]byte, error) // nil: os.ReadFile
	HTTP     *http.Client                 // for the platform's own endpoints; nil: NewHTTPClient("")

	File     string   // the file with the token, of the source "file"
	Variable string   // the variable that holds the token, of the source "variable"
	Command  []string // the program that prints the token, and its arguments, of the source "command"
}

// Env is the value of a variable.
func (e Environment) Env(name string) string {
	if e.Getenv == nil {
		return os.Getenv(name)
	}
	return e.Getenv(name)
}

// Read is the content of a file.
func (e Environment) Read(name string) ([]byte, error) {
	if e.ReadFile == nil {
		return os.ReadFile(name)
	}
	return e.ReadFile(name)
}

// Client is the HTTP client for the platform's own endpoints.
func (e Environment) Client() (*http.Client, error) {
	if e.HTTP != nil {
		return e.HTTP, nil
	}
	return NewHTTPClient("")
}

// Level is how much a platform that was found says about this process. The
// lowest level wins: a CI job on a machine of a cloud is that job.
type Level int

// The levels of platforms.
const (
	Given   Level = iota // somebody named a token for this process
	Job                  // a CI job
	Service              // a service that the platform started
	Machine              // anything on this machine
)

// Platform is one way to obtain a token.
type Platform struct {
	Name  string // as in --source
	Title string // for people
	Level Level

	// Find looks for the platform and says what was seen. It makes no request.
	Find func(Environment) (found bool, seen string)
	// Source obtains tokens, or fails with what is missing.
	Source func(Environment) Source
}

// Platforms are the platforms that this package knows. Those of workload/aws
// and workload/spiffe may be appended.
func Platforms() []Platform {
	return []Platform{filePlatform(), variablePlatform(), commandPlatform(), kubernetesPlatform(),
		githubPlatform(), pipelinesPlatform(), gitlabPlatform(), terraformPlatform(), circlePlatform(), buildkitePlatform(), googlePlatform()}
}

// Look is what was seen of one platform.
type Look struct {
	Platform Platform
	Found    bool
	Seen     string
}

// Detect finds the platform that this process runs on. The looks say, in the
// order in which they count, what was seen of each. The error is a
// *SettingsError.
func Detect(e Environment, platforms []Platform) (Platform, []Look, error) {
	var looks []Look
	for _, p := range platforms {
		found, seen := p.Find(e)
		looks = append(looks, Look{Platform: p, Found: found, Seen: seen})
	}
	slices.SortStableFunc(looks, func(a, b Look) int { return cmp.Compare(a.Platform.Level, b.Platform.Level) })
	for _, l := range looks {
		if l.Found {
			return l.Platform, looks, nil
		}
	}
	return Platform{}, looks, &SettingsError{errors.New("no platform was recognised that gives this process a token; name one with --source, or a file with --source file --file FILE")}
}

// ByName finds a platform by its name. The error is a *SettingsError.
func ByName(name string, platforms []Platform) (Platform, error) {
	var names []string
	for _, p := range platforms {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Platform{}, &SettingsError{fmt.Errorf("%q is no source of tokens; there are %s", name, strings.Join(names, ", "))}
}

// SettingsError says which setting of this process is missing or wrong: an
// option, a variable, or a file that one of them names.
type SettingsError struct{ error }

func (e *SettingsError) Unwrap() error { return e.error }

// Settingsf makes a *SettingsError.
func Settingsf(format string, args ...any) error {
	return &SettingsError{fmt.Errorf(format, args...)}
}
