package lint

import (
	"regexp"
	"slices"
	"strings"
)

// pull requests of GitHub: the subject, and the claim that says so too.
const (
	pullRequest       = "pull_request"
	pullRequestTarget = "pull_request_target"
	eventName         = "event_name"
)

func pullRequests(s *subject) []hit {
	if !s.is("github") || s.privilege() < Write {
		return nil
	}
	for i := range s.terms {
		t := &s.terms[i]
		explicit := t.claim == claimSub && strings.HasSuffix(t.text, ":"+pullRequest) || t.claim == eventName && strings.Trim(t.text, "*?") != "" && t.satisfied(pullRequest) ||
			t.claim == "ref" && strings.HasPrefix(t.text, "refs/pull/") || t.claim == claimSub && strings.Contains(t.text, ":ref:refs/pull/")
		if explicit {
			return one(t.field, "Jobs of pull requests satisfy it, whose authors choose the code, and the client has %s (%s).", s.privilege(), s.strongest())
		}
	}
	// What a wildcard lets in is worth a warning, since forks need an approval
	// before their jobs get tokens.
	for t := range s.on(claimSub) {
		head, wild := t.head()
		repository := boundary(`repo:[^/]+/[^:]+:`).FindString(head)
		if wild && repository != "" && t.satisfied(repository+pullRequest) && !s.constrains(eventName, "ref", "environment") {
			return []hit{{field: t.field, level: Warn, message: "Jobs of pull requests satisfy " + shorten(t.text) + " too, whose authors choose the code, and the client has " + s.privilege().String() + " (" + s.strongest() + ")."}}
		}
	}
	return nil
}

func pullRequestTargets(s *subject) []hit {
	if !s.is("github") {
		return nil
	}
	for i := range s.terms {
		t := &s.terms[i]
		// * alone does not ask for anything.
		if t.claim == eventName && strings.Trim(t.text, "*?") != "" && t.satisfied(pullRequestTarget) || t.claim == claimSub && strings.HasSuffix(t.text, ":"+pullRequestTarget) {
			return one(t.field, "Workflows that pull_request_target starts satisfy it: they run with the rights of the repository on behalf of anybody who opens a pull request.")
		}
	}
	return nil
}

// environment is the name in a subject of GitHub that is bound to one.
var environment = regexp.MustCompile(`:environment:([^:*?]+)`)

func unknownProtection(s *subject) []hit {
	if !s.is("github") {
		return nil
	}
	name := ""
	for i := range s.terms {
		t := &s.terms[i]
		if m := environment.FindStringSubmatch(t.text); t.claim == claimSub && m != nil {
			name = m[1]
		}
		if _, wild := t.head(); t.claim == "environment" && !wild {
			name = t.text
		}
	}
	if name == "" {
		return nil
	}
	return one(s.where(), "The name of the environment %q alone proves little: its protection rules decide who reaches it, and they cannot be seen from here.", name)
}

func branchWildcard(s *subject) []hit {
	if s.privilege() < Write {
		return nil
	}
	for i := range s.terms {
		t := &s.terms[i]
		head, wild := t.head()
		branch := t.claim == claimSub && (strings.Contains(head, ":ref:refs/heads/") || strings.Contains(head, "ref_type:branch:ref:") || strings.HasSuffix(head, ":ref:")) ||
			slices.Contains([]string{"ref", "ref_path", "build_branch"}, t.claim)
		if wild && branch {
			return one(t.field, "Every branch that fits %q satisfies it, those that anybody with write access makes included, and the client has %s (%s).", shorten(t.text), s.privilege(), s.strongest())
		}
	}
	return nil
}

// commit is a whole SHA-1 or SHA-256 of git.
var commit = regexp.MustCompile(`@(?:[0-9a-f]{40}|[0-9a-f]{64})(?::|\z)`)

func floatingWorkflow(s *subject) []hit {
	const claim = "job_workflow_ref"
	for i := range s.terms {
		t := &s.terms[i]
		if (t.claim == claim || t.claim == claimSub && strings.Contains(t.text, claim+":")) && !commit.MatchString(t.text) {
			return one(t.field, "The reusable workflow in %q is named by a branch or tag, which whoever may push to its repository can move.", shorten(t.text))
		}
	}
	return nil
}

func selfHosted(s *subject) []hit {
	if !s.is("github") || s.privilege() < Write || s.constrains("runner_environment") || !s.shared() {
		return nil
	}
	return one(s.where(), "Jobs on self-hosted runners satisfy it too, on machines that earlier jobs may have left something on, and the client has %s (%s).", s.privilege(), s.strongest())
}

func unprotectedRef(s *subject) []hit {
	if !s.is("gitlab") || s.privilege() < Write || s.equal("ref_protected", "true") {
		return nil
	}
	for i := range s.terms {
		t := &s.terms[i]
		if strings.Contains(t.text, "refs/merge-requests/") || t.claim == "pipeline_source" && t.text == "merge_request_event" {
			return one(t.field, "Jobs of merge requests satisfy it, those of forks included, and the client has %s (%s).", s.privilege(), s.strongest())
		}
	}
	return one(s.where(), "It does not ask whether the branch or tag is protected (ref_protected), and the client has %s (%s).", s.privilege(), s.strongest())
}
