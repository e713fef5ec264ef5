package management

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// MaxBody bounds a request body in bytes, as sent and after decompression. The
// largest application that clients send has a few dozen KiB; what is read here
// is merged while every other write waits.
const MaxBody = 256 << 10

// BodyError is a request body that cannot be used. Message is safe to show.
type BodyError struct {
	Status  int // 400, 413 or 415
	Message string
}

func (e *BodyError) Error() string { return e.Message }

// ReadJSONBody returns the body of a request that must carry JSON: content
// type application/json, no coding or gzip, 1 to MaxBody bytes. The bytes
// themselves are not looked at. The error is a *BodyError.
func ReadJSONBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return ReadJSONBodyUpTo(w, r, MaxBody)
}

// ReadJSONBodyUpTo is ReadJSONBody with another bound in bytes.
func ReadJSONBodyUpTo(w http.ResponseWriter, r *http.Request, most int) ([]byte, error) {
	if err := checkContentType(r.Header.Values("Content-Type")); err != nil {
		return nil, err
	}
	reader := io.Reader(http.MaxBytesReader(w, r.Body, int64(most)))
	switch coding := strings.ToLower(r.Header.Get("Content-Encoding")); coding {
	case "", "identity":
	case "gzip":
		unzip, err := gzip.NewReader(reader)
		if err != nil {
			return nil, unreadable(err, most)
		}
		reader = unzip
	default:
		return nil, &BodyError{http.StatusUnsupportedMediaType, "The Content-Encoding of the request is not supported. Send the body plain or with gzip."}
	}
	body, err := io.ReadAll(io.LimitReader(reader, int64(most)+1))
	if err != nil {
		return nil, unreadable(err, most)
	}
	if len(body) > most {
		return nil, tooLarge(most)
	}
	if len(body) == 0 {
		return nil, &BodyError{http.StatusBadRequest, "The request has no body. Send a JSON object."}
	}
	return body, nil
}

func checkContentType(values []string) error {
	if len(values) == 0 {
		return &BodyError{http.StatusBadRequest, "The request has no Content-Type header. Send 'Content-Type: application/json'."}
	}
	media, params, err := mime.ParseMediaType(values[0])
	charset := strings.ToLower(params["charset"])
	if len(values) > 1 || err != nil || media != "application/json" || charset != "" && charset != "utf-8" {
		return &BodyError{http.StatusUnsupportedMediaType, "The Content-Type of the request is not supported. Send 'Content-Type: application/json', in UTF-8."}
	}
	return nil
}

// unreadable tells a body over the limit from one that could not be read or
// unpacked; the reason of the latter is not repeated.
func unreadable(err error, most int) error {
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return tooLarge(most)
	}
	return &BodyError{http.StatusBadRequest, "The request body could not be read."}
}

func tooLarge(most int) error {
	return &BodyError{http.StatusRequestEntityTooLarge, "The request body is larger than " + strconv.Itoa(most>>10) + " KiB, as sent or after decompression."}
}
