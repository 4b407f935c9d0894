package instances

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Difference is something in which this instance and others differ, or in which it is
// not as it should be.
type Difference struct {
	// Kind is one of `configuration`, `encryption_keys`, `version` and `clock`.
	Kind string `json:"kind"`
	Site string `json:"site,omitempty"` // the public URL, of a configuration
	// Parts are what of the configuration differs, by the names of the options; of
	// the encryption keys, their names.
	Parts     []string `json:"parts,omitempty"`
	Instances []string `json:"instances"` // the others
	// Since is when it was noticed. During an upgrade or a change of the
	// configuration instances differ for a while: it is a warning when it lasts.
	Since time.Time `json:"since"`
	Text  string    `json:"text"` // what it is, in words
	Fix   string    `json:"fix"`  // what to do about it
}

const (
	ofConfiguration = "configuration"
	ofKeys          = "encryption_keys"
	ofVersion       = "version"
	ofClock         = "clock"
)

const (
	fixConfiguration = "Give all instances the same configuration, and reload those that have the older one."
	fixKeys          = "Give all instances the same encryption_key lines in the same order."
	fixVersion       = "Bring all instances to the same version."
	fixClock         = "Keep the clocks of all machines, and of the database, by NTP."
)

// How long a difference lasts before it is a warning.
const (
	patience        = time.Minute
	versionPatience = time.Hour
)

// clockTolerance is how far a clock may be off before it is told.
const clockTolerance = 10 * time.Second

// at identifies a difference while it lasts.
type at struct{ kind, site string }

// seen is an instance, and what it says of itself.
type seen struct {
	id         string
	clockAhead time.Duration
	about
}

// compare returns in what an instance differs from the others.
func compare(own seen, others []seen) map[at]Difference {
	found := map[at]Difference{}
	note := func(kind, site string, other string, parts []string) {
		d := found[at{kind, site}]
		d.Kind, d.Site = kind, site
		d.Parts, d.Instances = append(d.Parts, parts...), append(d.Instances, other)
		found[at{kind, site}] = d
	}
	for _, other := range others {
		if !slices.Equal(own.Keys, other.Keys) {
			note(ofKeys, "", other.id, unshared(own.Keys, other.Keys))
		}
		if own.Version != other.Version {
			note(ofVersion, "", other.id, nil)
			continue // which may write the same configuration otherwise
		}
		if own.Sealing != other.Sealing {
			continue // the digests cannot be compared
		}
		for _, issuer := range slices.Sorted(maps.Keys(union(own.Sites, other.Sites))) {
			if parts := differing(own.Sites[issuer], other.Sites[issuer]); len(parts) > 0 {
				note(ofConfiguration, issuer, other.id, parts)
			}
		}
	}
	if own.clockAhead.Abs() >= clockTolerance {
		note(ofClock, "", own.id, nil)
	}
	for key, d := range found {
		slices.Sort(d.Parts)
		d.Parts = slices.Compact(d.Parts)
		d.describe(own)
		found[key] = d
	}
	return found
}

// unshared returns the keys that only one of two has.
func unshared(a, b []string) (keys []string) {
	for _, pair := range [][2][]string{{a, b}, {b, a}} {
		for _, key := range pair[0] {
			if !slices.Contains(pair[1], key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func union[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return all
}

// differing returns the parts of a site that are not the same at two instances.
func differing(a, b map[string]string) (parts []string) {
	switch {
	case a == nil:
		return []string{"the site, which only others have"}
	case b == nil:
		return []string{"the site, which others do not have"}
	}
	for name := range union(a, b) {
		if a[name] != b[name] {
			parts = append(parts, name)
		}
	}
	return parts
}

// describe puts it into words.
func (d *Difference) describe(own seen) {
	others := strings.Join(d.Instances, ", ")
	switch d.Kind {
	case ofConfiguration:
		d.Text, d.Fix = fmt.Sprintf("the configuration of %s is another one at %s: %s", d.Site, others, strings.Join(d.Parts, ", ")), fixConfiguration
	case ofKeys:
		d.Text, d.Fix = "the encryption keys are in another order at "+others, fixKeys
		if len(d.Parts) > 0 {
			d.Text = fmt.Sprintf("%s and this instance do not have the same encryption keys: not everybody has %s", others, strings.Join(d.Parts, ", "))
		}
	case ofVersion:
		d.Text, d.Fix = "the version of the plugin is another one at "+others, fixVersion
	case ofClock:
		way := "ahead of"
		if own.clockAhead < 0 {
			way = "behind"
		}
		d.Text, d.Fix = fmt.Sprintf("the clock of this instance is %s %s that of the database", own.clockAhead.Abs().Round(time.Second), way), fixClock
	}
}

// Lasts reports whether it has lasted for so long that it is a warning.
func (d *Difference) Lasts(now time.Time) bool { return now.Sub(d.Since) >= d.wait() }

// wait is how long a difference may last before it is told.
func (d *Difference) wait() time.Duration {
	if d.Kind == ofVersion {
		return versionPatience
	}
	return patience
}
