package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// Counting reads no objects: a directory of any size may be asked how many
// there are.
func TestCountReadsNoObjects(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	const applications = 3000
	err := f.db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
		for i := range applications {
			if err := tx.CreateApplication(&directory.Application{TenantID: tenantID, DisplayName: fmt.Sprintf("App %d", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took := func(path string, total any) time.Duration {
		t.Helper()
		least := time.Hour
		for range 5 {
			start := time.Now()
			if got := f.do("GET", path, "").want(200, ""); got.body["@odata.count"] != total {
				t.Errorf("%s: %v, want %v", path, got.body["@odata.count"], total)
			}
			least = min(least, time.Since(start))
		}
		return least
	}
	page := took("/v1.0/applications?$top=999", nil)
	count := took("/v1.0/applications?$top=1&$count=true", float64(applications))
	took("/v1.0/applications?$top=1&$count=true&$filter=startswith(displayName,'app 2')", 1111.0)
	t.Log("a page of 999:", page, "a count of", applications, ":", count)
	if count > page/4 {
		t.Errorf("counting %d applications took %v, reading 999 of them %v", applications, count, page)
	}
}

// A page takes the same few queries however long it is: whoever may read does
// not get to ask the database a thousand times with one request.
func TestPagesTakeFewQueries(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	const objects = 40
	var ids []string
	var owner string
	for range objects {
		id, appID := f.application(`{"displayName":"x"}`)
		owner = f.servicePrincipal(appID)
		ids = append(ids, id)
	}
	for _, id := range ids {
		f.do("POST", "/v1.0/applications/"+id+"/owners/$ref", reference(owner)).want(204, "")
		sp := f.do("GET", "/v1.0/applications/"+id, "").string("appId")
		principal := f.do("GET", "/v1.0/servicePrincipals(appId='"+sp+"')", "").string("id")
		f.do("POST", "/v1.0/servicePrincipals/"+owner+"/appRoleAssignedTo",
			`{"principalId":"`+principal+`","resourceId":"`+owner+`","appRoleId":"`+directory.DefaultAppRoleID+`"}`).want(201, "")
	}
	queries := func(ask func() answer, want int) int64 {
		t.Helper()
		before := f.db.Stats().SQLReads
		if got := ask().want(200, "").values(); len(got) != want {
			t.Errorf("%d objects, want %d", len(got), want)
		}
		return f.db.Stats().SQLReads - before
	}
	for _, list := range []string{"applications", "servicePrincipals", "servicePrincipals/" + owner + "/ownedObjects", "servicePrincipals/" + owner + "/appRoleAssignedTo"} {
		page := func(top int) int64 {
			return queries(func() answer { return f.do("GET", fmt.Sprintf("/v1.0/%s?$top=%d", list, top), "") }, top)
		}
		if one, many := page(1), page(objects); one == 0 || one != many {
			t.Errorf("%s: %d queries for one object, %d for %d", list, one, many, objects)
		}
	}
	byIDs := func(ids ...string) int64 {
		return queries(func() answer {
			return f.do("POST", "/v1.0/directoryObjects/getByIds", `{"ids":["`+strings.Join(ids, `","`)+`"]}`)
		}, len(ids))
	}
	if one, many := byIDs(ids[0]), byIDs(ids...); one == 0 || one != many {
		t.Errorf("getByIds: %d queries for one object, %d for %d", one, many, objects)
	}
}
