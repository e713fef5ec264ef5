package store

import "testing"

func TestForPostgres(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                                "SELECT 1",
		"a = ? AND b = ?":                         "a = $1 AND b = $2",
		"a = ?2 AND b = ?1 AND c = ?":             "a = $2 AND b = $1 AND c = $3",
		"a = '?' AND b = ? AND c <> ''":           "a = '?' AND b = $1 AND c <> ''",
		"a = ?1 OR b = ?1 OR c = ?12":             "a = $1 OR b = $1 OR c = $12",
		"id IN (SELECT value FROM json_each(?2))": "id IN (SELECT value FROM json_array_elements_text($2::json))",
		"x = ? AND id IN (SELECT value FROM json_each(?)) AND y = ?": "x = $1 AND id IN (SELECT value FROM json_array_elements_text($2::json)) AND y = $3",
	} {
		if got := forPostgres(query); got != want {
			t.Errorf("%s\nbecame %s\nnot    %s", query, got, want)
		}
	}
}
