package lint

import (
	"encoding/json"
	"testing"
)

// TestSARIF checks what SARIF 2.1.0 and GitHub's code scanning insist on:
// version, rules that results refer to by index, levels, and a location each.
func TestSARIF(t *testing.T) {
	in := example{credential: exp(gh, match("sub", "repo:acme*"))}.input()
	in.Clients[0].Credentials[0].Place = Place{File: "trust.yaml", Line: 8}
	in.Clients[0].Credentials[0].Overrides = map[string]string{"L12": "x"}
	findings := append(Check(in), Finding{Rule: "L12", Level: Block, Message: "m", Remedy: "r", Override: "reason"})
	raw, err := SARIF(findings, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct{ ID string }
				}
			}
			Results []struct {
				RuleID, Level string
				RuleIndex     int
				Message       struct{ Text string }
				Suppressions  []struct{ Kind, Justification string }
				Locations     []struct {
					PhysicalLocation *struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Tool.Driver.Rules) != 27 || len(log.Runs[0].Results) != len(findings) {
		t.Fatalf("%s", raw)
	}
	for i, r := range log.Runs[0].Results {
		if log.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.Message.Text == "" || len(r.Locations) != 1 || r.Level != sarifLevels[findings[i].Level] {
			t.Errorf("result %+v", r)
		}
	}
	first, last := log.Runs[0].Results[0], log.Runs[0].Results[len(findings)-1]
	if p := first.Locations[0].PhysicalLocation; first.Level != "error" || p == nil || p.ArtifactLocation.URI != "trust.yaml" || p.Region.StartLine != 8 {
		t.Errorf("%+v", first)
	}
	if len(last.Suppressions) != 1 || last.Suppressions[0].Kind != "external" || last.Suppressions[0].Justification != "reason" || last.Locations[0].PhysicalLocation != nil {
		t.Errorf("%+v", last)
	}
}
