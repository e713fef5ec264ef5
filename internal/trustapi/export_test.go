package trustapi

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"cambio/internal/management/managementtest"
)

// Reading the configuration takes its turn with plans: it reads the whole
// tenant as they do, and anybody who may read could ask for it any number of
// times at once.
func TestExportTakesItsTurn(t *testing.T) {
	f := newFixture(t)
	api := New(Config{DB: f.db, CheckIssuer: httpsOnly, ManagementAppID: f.managementAppID})
	router := managementtest.Router{Call: f.call, Routes: Routes(api)}
	export := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest("GET", "/trust/v1/configuration", nil).WithContext(ctx))
		return w.Code
	}
	for range maxDocuments {
		api.documents <- struct{}{}
	}
	if status := export(); status != 503 {
		t.Errorf("while others are worked on: %d", status)
	}
	<-api.documents
	if status := export(); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
	if len(api.documents) != maxDocuments-1 {
		t.Errorf("%d places are held", len(api.documents))
	}
}
