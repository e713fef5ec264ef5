package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Application is an application as the Graph-shaped API shows it, as far as
// the command line looks into it. Raw is all of it.
type Application struct {
	ID             string    `json:"id"`
	AppID          string    `json:"appId"`
	DisplayName    string    `json:"displayName"`
	UniqueName     string    `json:"uniqueName"`
	IdentifierURIs []string  `json:"identifierUris"`
	AppRoles       []AppRole `json:"appRoles"`
	IsDisabled     bool      `json:"isDisabled"`
	Created        string    `json:"createdDateTime"`
	Deleted        string    `json:"deletedDateTime"`
	API            struct {
		TokenVersion int `json:"requestedAccessTokenVersion"`
	} `json:"api"`

	Raw jsontext.Value `json:"-"`
}

// AppRole is a permission that a protected resource defines.
type AppRole struct {
	ID                 string   `json:"id"`
	Value              string   `json:"value"`
	DisplayName        string   `json:"displayName"`
	Description        string   `json:"description"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"`
	IsEnabled          bool     `json:"isEnabled"`
}

const applicationsPath = "/v1.0/applications"

// Path addresses the application.
func (a *Application) Path() string { return applicationsPath + "/" + a.ID }

func readApplication(raw jsontext.Value) (Application, error) {
	var a Application
	err := decode(raw, &a)
	a.Raw = raw
	return a, err
}

// Applications lists every application, or those that the caller owns if it
// may not see the others (see SeesOwnedOnly).
func (c *Client) Applications(ctx context.Context) ([]Application, error) {
	all, err := listOf(ctx, c, applicationsPath, readApplication)
	if KindOf(err) == Denied {
		return c.ownedApplications(ctx, err)
	}
	return all, err
}

// listOf reads every page of a list.
func listOf[T any](ctx context.Context, c *Client, path string, read func(jsontext.Value) (T, error)) ([]T, error) {
	raw, err := c.List(ctx, path)
	if err != nil {
		return nil, err
	}
	all := make([]T, len(raw))
	for i := range raw {
		if all[i], err = read(raw[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// FindApplication finds an application by its appId, object id, uniqueName,
// identifier URI or display name. A name that fits more than one is an error
// of kind Conflict that lists them.
func (c *Client) FindApplication(ctx context.Context, ref string) (Application, error) {
	if IsGUID(ref) {
		raw, err := c.first(ctx, applicationsPath+"(appId='"+ref+"')", applicationsPath+"/"+ref)
		if IsNotFound(err) {
			err = NotFoundf("there is no application with the appId or object id %s", ref)
		}
		if err != nil {
			return Application{}, err
		}
		return readApplication(raw)
	}
	found, err := c.applicationsNamed(ctx, ref)
	if err != nil {
		return Application{}, err
	}
	switch len(found) {
	case 0:
		return Application{}, c.noApplication(ref)
	case 1:
		return found[0], nil
	}
	var list []string
	for _, a := range found {
		list = append(list, fmt.Sprintf("%s (%s)", a.AppID, a.DisplayName))
	}
	return Application{}, ambiguous("application", useID, ref, list)
}

// useID is what helps with an ambiguous name.
const useID = "use the id"

func ambiguous(kind, remedy, ref string, candidates []string) error {
	slices.SortFunc(candidates, func(a, b string) int { return strings.Compare(afterID(a), afterID(b)) })
	return Conflictf("%q fits more than one %s; %s: %s", ref, kind, remedy, strings.Join(candidates, ", "))
}

// afterID is a candidate without its id, so that candidates are sorted by what
// people know.
func afterID(candidate string) string {
	_, rest, _ := strings.Cut(candidate, " ")
	return rest
}

// applicationsNamed finds the applications that a name may mean, among those
// that the caller may see.
func (c *Client) applicationsNamed(ctx context.Context, ref string) ([]Application, error) {
	var found []Application
	seen := map[string]bool{}
	for _, filter := range []string{"uniqueName eq " + literal(ref), "displayName eq " + literal(ref), "identifierUris/any(x:x eq " + literal(ref) + ")"} {
		some, err := listOf(ctx, c, filtered(applicationsPath, filter), readApplication)
		if KindOf(err) == Denied {
			return c.ownedNamed(ctx, ref, err)
		}
		if err != nil {
			return nil, err
		}
		for _, a := range some {
			if !seen[a.ID] {
				found = append(found, a)
			}
			seen[a.ID] = true
		}
	}
	return found, nil
}

// CreateApplication creates an application from its Graph properties.
func (c *Client) CreateApplication(ctx context.Context, properties map[string]any) (Application, error) {
	preview := map[string]any{"id": "{id of the application}", "appId": "{appId of the application}"}
	for name, value := range properties {
		preview[name] = value
	}
	raw, err := c.Change(ctx, http.MethodPost, applicationsPath, properties, preview)
	if err != nil {
		return Application{}, err
	}
	return readApplication(raw)
}

// UpdateApplication changes the given Graph properties and returns what the
// application is then.
func (c *Client) UpdateApplication(ctx context.Context, a Application, properties map[string]any) (Application, error) {
	if _, err := c.Change(ctx, http.MethodPatch, a.Path(), properties, nil); err != nil || c.IsDryRun() {
		return a, err
	}
	raw, err := c.Get(ctx, a.Path())
	if err != nil {
		return a, err
	}
	return readApplication(raw)
}

// first returns the answer of the first path that exists.
func (c *Client) first(ctx context.Context, paths ...string) (raw jsontext.Value, err error) {
	for _, path := range paths {
		if raw, err = c.Get(ctx, path); !IsNotFound(err) {
			return raw, err
		}
	}
	return nil, err
}

// Delete deletes the object at a path.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.Change(ctx, http.MethodDelete, path, nil, nil)
	return err
}

// IsGUID reports whether a reference is an id and no name.
func IsGUID(ref string) bool {
	_, err := uuid.Parse(ref)
	return err == nil && len(ref) == 36
}

// literal writes a string literal of OData (4.01 URL conventions §5.1.1.14.1).
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// keyed addresses an object by an alternate key.
func keyed(path, property, value string) string {
	return path + "(" + property + "=" + url.PathEscape(literal(value)) + ")"
}

func filtered(path, filter string) string { return path + "?$filter=" + url.QueryEscape(filter) }
