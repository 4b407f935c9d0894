package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// Rules choose workloads by the claims of their tokens. Each claim that is named
// must have one of the values that are listed for it: rules about one claim are
// alternatives, rules about several claims hold together.
type Rules struct {
	texts  []string
	claims []claimRule // in the order in which they are named first
}

type claimRule struct {
	name   string
	values []string
}

// public are issuers from which anybody can have tokens, by the claims that say
// whose they are.
var public = map[string][]string{
	"https://token.actions.githubusercontent.com": {"sub", "repository", "repository_id", "repository_owner", "repository_owner_id", "enterprise", "enterprise_id"},
	"https://gitlab.com":                          {"sub", "project_path", "project_id", "namespace_path", "namespace_id"},
	"https://accounts.google.com":                 {"sub", "email", "hd"},
	"https://app.terraform.io":                    {"sub", "terraform_organization_name", "terraform_organization_id", "terraform_workspace_id"},
	"https://agent.buildkite.com":                 {"sub", "organization_slug", "organization_id", "pipeline_id"},
	"https://oidc.vercel.com":                     {"sub", "owner", "owner_id", "project_id"},
}

// publicAs returns how a public issuer is written in its tokens, of whatever spelling of
// it; "" for all others.
func publicAs(issuer string) string {
	for known := range public {
		if strings.EqualFold(known, strings.TrimRight(issuer, "/")) {
			return known
		}
	}
	return ""
}

// ofTheToken are claims that say nothing of a workload.
var ofTheToken = []string{"iss", "aud", "exp", "nbf", "iat", "jti"}

// ParseRules reads rules for workloads of an issuer: claim:NAME=VALUE, where a value
// that ends in /* or :* stands for all that begin with what is before the star. At
// least one must say whose workloads are meant.
func ParseRules(issuer string, texts []string) (*Rules, error) {
	if known := publicAs(issuer); known != "" && known != issuer {
		return nil, fmt.Errorf("tokens of this issuer name it %s; write it exactly so, without a slash at the end", known)
	}
	r := &Rules{texts: slices.Clone(texts)}
	narrows, outside := false, ""
	for _, text := range texts {
		name, value, err := parseRule(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if name == "sub" && IsTrustDomain(issuer) && !strings.HasPrefix(value, issuer+"/") {
			outside = text
		}
		r.add(name, value)
	}
	for _, c := range r.claims { // of alternatives, each has to
		narrows = narrows || !slices.ContainsFunc(c.values, func(value string) bool { return !narrow(issuer, c.name, value) })
	}
	switch names := public[issuer]; {
	case narrows && outside != "":
		return nil, fmt.Errorf("%q: it is not in the trust domain, so no token that is accepted has it; write claim:sub=%s/…", outside, issuer)
	case narrows:
		return r, nil
	case names != nil:
		return nil, fmt.Errorf("anybody can have tokens of %s, and these rules do not say whose are meant; add one such as claim:%s=…, about one of: %s", issuer, names[1], strings.Join(names, ", "))
	}
	return nil, errors.New("whom to trust is missing: every workload of the issuer would be; write claims of its tokens, such as claim:sub=system:serviceaccount:prod:batch")
}

func parseRule(text string) (name, value string, err error) {
	rule, isClaim := strings.CutPrefix(text, "claim:")
	name, value, _ = strings.Cut(rule, "=")
	fixed := strings.TrimSuffix(value, "*")
	switch {
	case !isClaim:
		return "", "", errors.New("a workload is chosen by claims of its token; write claim:repository=octo-org/app")
	case name == "" || value == "" || strings.TrimSpace(value) != value:
		return "", "", errors.New("a claim has a name and a value; write claim:repository=octo-org/app")
	case slices.Contains(ofTheToken, name):
		return "", "", fmt.Errorf("%s says nothing of a workload; it is checked in any case", name)
	case strings.Contains(fixed, "*") || fixed != value && !strings.HasSuffix(fixed, "/") && !strings.HasSuffix(fixed, ":"):
		return "", "", errors.New("a star stands for the rest behind a slash or colon; write claim:sub=repo:octo-org/*")
	}
	return name, value, nil
}

func (r *Rules) add(name, value string) {
	i := slices.IndexFunc(r.claims, func(c claimRule) bool { return c.name == name })
	if i < 0 {
		i = len(r.claims)
		r.claims = append(r.claims, claimRule{name: name})
	}
	r.claims[i].values = append(r.claims[i].values, value)
}

// narrow reports whether a rule says whose workloads are meant.
func narrow(issuer, name, value string) bool {
	fixed, everything := strings.CutSuffix(value, "*")
	names, anybodys := public[issuer]
	switch {
	case anybodys && !slices.Contains(names, name):
		return false
	case !everything:
		return true
	case anybodys:
		return strings.Contains(fixed, "/") // behind the name of an owner
	}
	// Subjects of one issuer mostly begin alike: with what all of them do, a rule says
	// nothing.
	domain, isSPIFFE := strings.CutPrefix(fixed, "spiffe://")
	return !strings.HasPrefix(strings.TrimRight(issuer, "/")+"/", fixed) &&
		!strings.HasPrefix("system:serviceaccount:", fixed) &&
		!strings.HasPrefix("spiffe://", fixed) &&
		!(isSPIFFE && strings.Count(domain, "/") == 1)
}

// match reports whether the claims of a token are those of a workload that is meant;
// else the name of the claim that is not.
func (r *Rules) match(all identity.RawClaims) (wrong string, ok bool) {
	for _, c := range r.claims {
		if !hasOne(all.Find(c.name), c.values) {
			return c.name, false
		}
	}
	return "", true
}

// hasOne reports whether a claim is one of the values, or a list with one of them. A
// number or boolean is as it is written in JSON.
func hasOne(raw json.RawMessage, values []string) bool {
	if raw == nil {
		return false
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	return slices.ContainsFunc(list, func(element json.RawMessage) bool {
		var text string
		if json.Unmarshal(element, &text) != nil {
			if text = strings.TrimSpace(string(element)); strings.ContainsAny(text, "{[") || text == "null" {
				return false
			}
		}
		return text != "" && slices.ContainsFunc(values, func(value string) bool { return hasValue(text, value) })
	})
}

func hasValue(text, value string) bool {
	if fixed, everything := strings.CutSuffix(value, "*"); everything {
		return len(text) > len(fixed) && strings.HasPrefix(text, fixed)
	}
	return text == value
}

// String returns the rules in order: those that choose the same workloads read the
// same.
func (r *Rules) String() string {
	if r == nil {
		return ""
	}
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(r.texts))), "\n")
}
