package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

func TestDecide(t *testing.T) {
	for _, test := range []struct {
		name     string
		config   config
		tags     string
		ranked   string
		rejected string
	}{
		{"the newest", config{Format: "YYYY.0M.MICRO"}, "2025.12.3 2026.01.0 2026.01.10 2026.01.9", "2026.01.10 2026.01.9 2026.01.0 2025.12.3", ""},
		{"no versions", config{Format: "YYYY.0M.MICRO"}, "latest 1.2.3 2026.1.0 2026.13.0", "", "latest: it is not a version YYYY.0M.MICRO|1.2.3: it is not a version YYYY.0M.MICRO|2026.1.0: it is not a version YYYY.0M.MICRO|2026.13.0: 13 is no 0M: that is from 1 to 12"},
		{"as Ubuntu", config{Format: "YY.0M"}, "24.04 22.10 26.04 6.06", "26.04 24.04 22.10 6.06", ""},
		{"with a v and days", config{Format: "vYYYYMMDD"}, "v20261231 v2026111 v20261301", "v20261231 v2026111", "v20261301: it is not a version vYYYYMMDD"},
		{"prereleases are left out", config{Format: "YYYY.MINOR"}, "2026.1 2026.2-rc1", "2026.1", "2026.2-rc1: it is a prerelease"},
		{"or are older than the version", config{Format: "YYYY.MINOR", Prerelease: true}, "2026.2-rc2 2026.2 2026.2-rc10 2026.1", "2026.2 2026.2-rc10 2026.2-rc2 2026.1", ""},
		{"not after a month", config{Format: "YYYY.0M.MICRO", NotAfter: "2026.06"}, "2026.07.0 2026.06.9 2026.05.1 2027.01.0", "2026.06.9 2026.05.1", "2026.07.0: it is after 2026.06|2027.01.0: it is after 2026.06"},
		{"not after a version", config{Format: "YYYY.0M.MICRO", NotAfter: "2026.06.1"}, "2026.06.2 2026.06.1", "2026.06.1", "2026.06.2: it is after 2026.06.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := (calver{}).Validate(t.Context(), test.config); err != nil {
				t.Fatal(err)
			}
			d, err := calver{}.Decide(t.Context(), sdk.DecideRequest[config]{Config: test.config, Candidates: sdk.Candidates{Tags: strings.Fields(test.tags)}})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(d.Ranked, " "); got != test.ranked {
				t.Errorf("ranked: %s, want %s", got, test.ranked)
			}
			var rejected []string
			for _, r := range d.Rejected {
				rejected = append(rejected, r.Tag+": "+r.Reason)
			}
			if got := strings.Join(rejected, "|"); got != test.rejected {
				t.Errorf("rejected: %s, want %s", got, test.rejected)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []config{{Format: "1.2.3"}, {Format: "YYYY.0M", NotAfter: "June"}, {Format: "YYYY.0M", NotAfter: "2026.14"}} {
		if err := (calver{}).Validate(t.Context(), c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// The order of the candidates plays no part.
func TestTheOrderOfTagsDoesNotMatter(t *testing.T) {
	tags := []string{"2026.01.1", "2026.01.1-rc1", "2026.01.1_rc1", "2025.02.3", "x"}
	c := config{Format: "YYYY.0M.MICRO", Prerelease: true}
	one, err := calver{}.Decide(t.Context(), sdk.DecideRequest[config]{Config: c, Candidates: sdk.Candidates{Tags: tags}})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(tags)
	two, err := calver{}.Decide(t.Context(), sdk.DecideRequest[config]{Config: c, Candidates: sdk.Candidates{Tags: tags}})
	if err != nil || !slices.Equal(one.Ranked, two.Ranked) {
		t.Errorf("%v, %v, %v", one.Ranked, two.Ranked, err)
	}
}
