package aws_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"cambio/cambiotest"
	"cambio/workload"
	"cambio/workload/aws"
)

// environment leaves AWS what these variables say and nothing of this machine.
func environment(t *testing.T, v map[string]string) workload.Environment {
	t.Helper()
	v["AWS_EC2_METADATA_DISABLED"], v["AWS_CONFIG_FILE"], v["AWS_SHARED_CREDENTIALS_FILE"], v["AWS_MAX_ATTEMPTS"] = "true", "none", "none", "1"
	for name, value := range v {
		t.Setenv(name, value)
	}
	return workload.Environment{ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }}
}

func platform(t *testing.T, e workload.Environment, name string) workload.Source {
	t.Helper()
	p, looks, err := workload.Detect(e, append(workload.Platforms(), aws.Platforms()...))
	if err != nil || p.Name != name {
		t.Fatalf("detected %q (%v): %+v", p.Name, err, looks)
	}
	return p.Source(e)
}

// exchange exchanges the source's tokens at a real server.
func exchange(t *testing.T, s *cambiotest.Server, source workload.Source) {
	t.Helper()
	c, err := workload.New(workload.Config{Authority: s.Info.BaseURL, ClientID: s.Info.ClientID, Scope: s.Info.Scope, CAFile: s.Info.CAFile, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := c.Token(t.Context()); err != nil || time.Until(token.Expires) < 50*time.Minute {
		t.Errorf("%+v: %v", token, err)
	}
}

func start(t *testing.T) *cambiotest.Server {
	t.Helper()
	s, err := cambiotest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	return s
}

// fake answers as AWS does, and notes what the SDK sent.
func fake(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

const stsAnswer = `<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>
<WebIdentityToken>%s</WebIdentityToken><Expiration>2027-01-01T00:00:00Z</Expiration></GetWebIdentityTokenResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>`

const stsError = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>`

// A role of a container, as in ECS and EKS Pod Identity, asks STS.
func TestSTS(t *testing.T) {
	s := start(t)
	role := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "pod" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{"AccessKeyId":"AKIDROLE","SecretAccessKey":"s","Token":"session","Expiration":"2099-01-01T00:00:00Z"}`)
	})
	refuse := ""
	endpoint := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		if refuse != "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, stsError, refuse)
			return
		}
		signed := r.Header.Get("Authorization")
		if err := r.ParseForm(); err != nil || !strings.HasPrefix(signed, "AWS4-HMAC-SHA256 Credential=AKIDROLE/") || !strings.Contains(signed, "/eu-west-1/sts/aws4_request") ||
			r.Header.Get("X-Amz-Security-Token") != "session" || r.PostForm.Get("Action") != "GetWebIdentityToken" || r.PostForm.Get("SigningAlgorithm") != "RS256" ||
			r.PostForm.Get("Audience.member.1") != workload.DefaultAudience || r.PostForm.Get("DurationSeconds") != "300" {
			t.Errorf("%v %v %v", err, r.Header, r.PostForm)
		}
		token, err := s.Provider.Mint(map[string]any{"https://sts.amazonaws.com/": map[string]any{"aws_account": "123456789012"}}, nil)
		if err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(w, stsAnswer, token)
	})
	e := environment(t, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": role, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": endpoint})
	source := platform(t, e, "aws")
	exchange(t, s, source)
	for code, want := range map[string]string{
		"AccessDenied": "permit sts:GetWebIdentityToken in a policy of the role (it answered: AccessDenied: no)",
		"OutboundWebIdentityFederationDisabledException": "`aws iam enable-outbound-web-identity-federation`",
		"OutboundWebIdentityFederationDisabled":          "`aws iam enable-outbound-web-identity-federation`",
		"ExpiredTokenException":                          "have expired",
		"InvalidAction":                                  "(it answered: InvalidAction: no)",
	} {
		refuse = code
		if _, err := source(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
}

func TestCognito(t *testing.T) {
	const pool = "eu-west-1:9a8b0c1d-2e3f-4a5b-8c7d-6e5f4a3b2c1d"
	s := start(t)
	endpoint := fake(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Amz-Target") != "AWSCognitoIdentityService.GetOpenIdTokenForDeveloperIdentity" || !strings.Contains(string(body), `"login.acme.ci":"build"`) ||
			!strings.Contains(string(body), `"IdentityPoolId":"`+pool+`"`) || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/cognito-identity/aws4_request") {
			t.Errorf("%v %s", r.Header, body)
		}
		token, err := s.Provider.Mint(map[string]any{"amr": []string{"authenticated", "login.acme.ci"}}, map[string]any{"alg": "RS512", "typ": "JWS"})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = fmt.Fprintf(w, `{"IdentityId":"eu-west-1:1f2e","Token":%q}`, token)
	})
	e := environment(t, map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_COGNITO_IDENTITY": endpoint,
		"CAMBIO_COGNITO_IDENTITY_POOL_ID": pool, "CAMBIO_COGNITO_LOGIN": "login.acme.ci=build"})
	exchange(t, s, platform(t, e, "aws-cognito"))
	t.Setenv("CAMBIO_COGNITO_LOGIN", "build")
	if _, err := platform(t, e, "aws-cognito")(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "PROVIDER=USER") {
		t.Error(err)
	}
}

func TestWhatIsMissing(t *testing.T) {
	e := environment(t, map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": ""})
	if _, err := platform(t, e, "aws")(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("without region: %v", err)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	if _, err := platform(t, e, "aws")(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "has this workload a role, or credentials of AWS?") {
		t.Errorf("without credentials: %v", err)
	}
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "")
	e.ReadFile = func(name string) ([]byte, error) {
		if name != "/sys/class/dmi/id/sys_vendor" {
			return nil, os.ErrNotExist
		}
		return []byte("Amazon EC2\n"), nil
	}
	platform(t, e, "aws")
}
