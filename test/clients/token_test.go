package clients

import (
	"reflect"
	"testing"

	"cambio/test/httpclient"
)

// checkToken checks an access token of the registered application.
func checkToken(t *testing.T, o outcome, resource httpclient.Application) {
	t.Helper()
	checkTokenOf(t, o, shared.client, resource, role)
}

// checkTokenOf decodes a client's access token and compares every claim that
// does not depend on the moment with what the resource asked for, and with the
// roles that the client holds.
func checkTokenOf(t *testing.T, o outcome, client, resource httpclient.Application, roles ...any) {
	t.Helper()
	if !o.OK {
		t.Fatalf("no access token: %s", o.Error)
	}
	header, err := httpclient.Part(o.AccessToken, 0)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := httpclient.Part(o.AccessToken, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("token: %v %v", header, claims)
	issuer, audience := shared.issuers()
	want := map[string]any{
		"typ": "JWT", "alg": "RS256",
		"iss": issuer[1], "aud": resource.AppID, "azp": client.AppID, "azpacr": "2", "ver": "2.0",
		"tid": shared.server.TenantID, "oid": client.PrincipalID, "sub": client.PrincipalID,
		"roles": nil, "appid": nil, "scp": nil,
	}
	if len(roles) > 0 {
		want["roles"] = roles
	}
	switch resource.AppID {
	case shared.es256.AppID:
		want["alg"] = "ES256"
	case shared.v1.AppID:
		for name, value := range map[string]any{
			"iss": issuer[0], "idp": issuer[0], "aud": audience, "appid": client.AppID, "appidacr": "2", "ver": "1.0",
			"azp": nil, "azpacr": nil,
		} {
			want[name] = value
		}
	}
	for name, value := range want {
		got := claims[name]
		if name == "typ" || name == "alg" {
			got = header[name]
		}
		if !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, want %v", name, got, value)
		}
	}
	issued, _ := claims["iat"].(float64)
	if expires, _ := claims["exp"].(float64); expires-issued < 3600 || expires-issued > 5700 {
		t.Errorf("the token lives %v s", expires-issued)
	}
	if kid, _ := header["kid"].(string); kid == "" {
		t.Error("the header names no key")
	}
}

// issuers are those of version 1.0 and 2.0, with the audience that a v1.0
// token has.
func (w *world) issuers() (issuer [2]string, audience string) {
	base := w.server.BaseURL + "/" + w.server.TenantID
	return [2]string{base + "/", base + "/v2.0"}, "api://things-v1"
}
