// Package workload obtains access tokens for programs that run on a platform
// with an identity of its own: a Kubernetes pod, a CI job, a machine of a
// cloud. It finds out which platform it is, obtains the platform's token, and
// exchanges it at the authority (RFC 7523 §2.2).
//
//	env := workload.Environment{}
//	platform, _, err := workload.Detect(env, workload.Platforms())
//	if err != nil { … }
//	client, err := workload.New(workload.Config{
//		Authority: "https://sts.example.net", Tenant: "example.net",
//		ClientID: "3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63", Scope: "api://orders/.default",
//		Source: platform.Source(env),
//	})
//	if err != nil { … }
//	token, err := client.Token(ctx)
//
// Token may be called for every request: it answers from memory until the
// token is about to end. The platform's token is obtained anew for each
// exchange, so that jobs may run for longer than it lives.
//
// What needs a library of its own is in packages below this one: workload/aws
// and workload/spiffe.
package workload
