package main

import (
	"context"

	"golang.org/x/oauth2/google"
)

// googleCredentials asks Google's library for a token, which finds its
// credential file as every program of Google's does.
func googleCredentials(ctx context.Context) (result, error) {
	credentials, err := google.FindDefaultCredentials(ctx, "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return result{}, err
	}
	token, err := credentials.TokenSource.Token()
	if err != nil {
		return result{}, err
	}
	return result{AccessToken: token.AccessToken}, nil
}
