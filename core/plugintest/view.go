package plugintest

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints a report as a table, and below it what to mend.
func (r *Report) Write(w io.Writer) error {
	if r.Plugin != "" {
		fmt.Fprintf(w, "Plugin %s %s\n\n", r.Plugin, r.Version)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		of := c.Type
		if of == "" {
			of = "(plugin)"
		}
		why := ""
		if c.Status == DoesNotApply {
			why = c.Seen
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", of, c.Check, c.Status, why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, c := range r.Checks {
		if c.Status != Failed {
			continue
		}
		of := c.Check
		if c.Type != "" {
			of += " of " + c.Type
		}
		fmt.Fprintf(w, "\n%s failed\n  Seen: %s\n  Fix:  %s\n", of, c.Seen, c.Mend)
	}
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed, %d do not apply.\n", r.Passed, r.Failed, r.DoesNotApply)
	return err
}
