package gate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/plan"
)

// Words says in one line what a change waits for: "waits for approval: 1.0.2 -> 1.0.3 (gate "prod")".
func Words(w *plan.Waiting) string {
	var approval, approvers, others []string
	for _, x := range w.For {
		gate := fmt.Sprintf("gate %q", x.Gate)
		until := ""
		if !x.Until.IsZero() {
			until = " until " + x.Until.Format("Mon 2006-01-02 15:04 MST")
		}
		switch x.What {
		case plan.WaitApproval:
			approval, approvers = append(approval, subject(w, x.Causes)...), append(approvers, gate)
		case plan.WaitDeletions:
			approval = append(approval, fmt.Sprintf("the plan deletes %d, more than %d", x.Deletions, x.Limit))
			approvers = append(approvers, gate)
		case plan.WaitWindow:
			others = append(others, "waits"+cmp.Or(until, ": "+x.Reason)+" ("+gate+")")
		case plan.WaitSoak:
			others = append(others, "waits for "+x.Address+" to be healthy"+cmp.Or(until, ": "+x.Reason)+" ("+gate+")")
		case plan.WaitBackoff, plan.WaitStalled, plan.WaitReport, plan.WaitResume, plan.WaitRejected:
			others = append(others, "waits"+until+reason(x.Reason))
		case plan.WaitInstance:
			others = append(others, "waits for "+cmp.Or(x.Address, "other changes")+reason(x.Reason))
		}
	}
	var parts []string
	if len(approvers) > 0 {
		parts = append(parts, "waits for approval: "+strings.Join(compact(approval), ", ")+" ("+strings.Join(compact(approvers), ", ")+")")
	}
	line := strings.Join(append(parts, compact(others)...), "; ")
	switch {
	case w.Partly:
		line += "; the rest of the change is in the plan"
	case w.Whole != "":
		line += "; " + w.Whole
	}
	return line
}

func reason(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// compact removes what is there twice.
func compact(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// subject says what is to be approved: the images that change, and the causes besides.
func subject(w *plan.Waiting, causes []plan.Cause) []string {
	var list []string
	for _, cause := range causes {
		images := imagesOf(w)
		if cause == plan.CauseImage && len(images) > 0 {
			list = append(list, images...)
			continue
		}
		list = append(list, string(cause))
	}
	return list
}

// imagesOf returns the images of a change that become others, as short as they can be told apart.
func imagesOf(w *plan.Waiting) []string {
	changed := slices.DeleteFunc(slices.Clone(w.Change.Images), func(i plan.ImageUse) bool { return i.Before == i.After && !i.Unknown })
	var list []string
	for _, i := range changed {
		before, after := tag(i.Before), tag(i.After)
		if before == after || before == "" || after == "" {
			before, after = cmp.Or(i.Before, "none"), cmp.Or(i.After, "none")
		}
		if i.Unknown && !strings.Contains(i.After, "@") { // else only the digest is not known yet
			after += " (known after apply)"
		}
		line := before + " -> " + after
		if len(changed) > 1 {
			line = i.Name + " " + line
		}
		list = append(list, line)
	}
	return list
}

// tag returns the tag of a reference, "" if it has none.
func tag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[i+1:]
	}
	return ""
}
