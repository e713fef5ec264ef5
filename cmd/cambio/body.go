package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/strictjson"
)

// readObject reads the members of a JSON object from a file, from standard
// input ("-"), or from the argument itself when it begins with a brace. A file
// may be written @FILE, as az has it.
func readObject(in io.Reader, from string, into map[string]any) error {
	raw, err := readArgument(in, from)
	if err != nil {
		return err
	}
	object, err := strictjson.ParseObject(raw, strictjson.Document)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", argumentName(from), err)}
	}
	for name, value := range object.All() {
		into[name] = jsontext.Value(value)
	}
	return nil
}

func argumentName(from string) string {
	switch {
	case from == "-":
		return "standard input"
	case strings.HasPrefix(strings.TrimSpace(from), "{"):
		return "the JSON on the command line"
	}
	return strings.TrimPrefix(from, "@")
}

func readArgument(in io.Reader, from string) ([]byte, error) {
	if strings.HasPrefix(strings.TrimSpace(from), "{") {
		return []byte(from), nil
	}
	most := int64(strictjson.Document.Bytes) + 1 // one more is refused by the parser
	if from == "-" {
		return io.ReadAll(io.LimitReader(in, most))
	}
	file, err := os.Open(strings.TrimPrefix(from, "@"))
	if err != nil {
		return nil, usageError{err}
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

// unmarshal reads a value that a person wrote.
func unmarshal(raw jsontext.Value, v any) error {
	return strictjson.Unmarshal(raw, v, strictjson.Document)
}
