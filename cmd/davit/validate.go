package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/diag"
)

// findings is what `validate -json` prints, and `plan -json` if there is no plan: see schemas/validate.schema.json.
type findings struct {
	Format      int       `json:"format_version"`
	Valid       bool      `json:"valid"`
	Errors      int       `json:"error_count"`
	Warnings    int       `json:"warning_count"`
	Diagnostics []finding `json:"diagnostics"`
}

type finding struct {
	Severity string   `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"`
	Address  string   `json:"address,omitempty"`
	Code     string   `json:"code,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Range    *place   `json:"range,omitempty"`
	Snippet  *snippet `json:"snippet,omitempty"`
}

type place struct {
	File  string   `json:"filename"`
	Start position `json:"start"`
	End   position `json:"end"`
}

type position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// snippet is the text that a finding is about: whole lines.
type snippet struct {
	Code      string `json:"code"`
	StartLine int    `json:"start_line"`
}

func (a *app) validateCmd() *cobra.Command {
	f := stackFlags{unset: true, noState: true}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "validate", Short: "Check the stack without contacting anything",
		Long: "Validate reads the stack and its modules, checks every reference and type, and lets the plugins check each block. Variables without a " +
			"value or default are unknown.\n\n" +
			"  davit validate\n  davit validate -json",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printFindings(a.find("The stack cannot be checked", func() error { return a.validate(&f) }))
			}
			err := a.validate(&f)
			if err == nil {
				fmt.Fprintln(a.out, "The stack is valid.")
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: schemas/validate.schema.json")
	return cmd
}

func (a *app) validate(f *stackFlags) error {
	s, err := a.open(a.soft, f, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	return a.show(s.Stack, s.Engine.Validate(a.soft))
}

// find runs something, and returns its diagnostics and its error instead of showing them.
func (a *app) find(summary string, run func() error) findings {
	a.collect = &hcl.Diagnostics{}
	if err := run(); err != nil && !errors.Is(err, errShown) {
		d := diag.Plain(summary, err.Error())
		var hinted interface{ HintText() string }
		if errors.As(err, &hinted) {
			d.Extra = diag.Info{Hint: hinted.HintText()}
		}
		*a.collect = append(*a.collect, d)
	}
	return a.findings(*a.collect)
}

// printFindings prints findings as JSON. It returns an error if there are errors among them.
func (a *app) printFindings(f findings) error {
	if err := writeJSON(a.out, f); err != nil {
		return err
	}
	if !f.Valid {
		return errShown
	}
	return nil
}

func (a *app) findings(diags hcl.Diagnostics) findings {
	out := findings{Format: 1, Diagnostics: []finding{}}
	for _, d := range diag.Fold(diags) {
		info := diag.InfoOf(d)
		f := finding{Severity: "error", Summary: d.Summary, Detail: d.Detail, Address: info.Address, Code: info.Code, Hint: info.Hint}
		if d.Severity == hcl.DiagWarning {
			f.Severity = "warning"
			out.Warnings++
		} else {
			out.Errors++
		}
		if r := d.Subject; r != nil {
			f.Range = &place{File: r.Filename, Start: position(r.Start), End: position(r.End)}
			if file := a.files[r.Filename]; file != nil && r.CanSliceBytes(file.Bytes) {
				lines := hcl.NewRangeScanner(file.Bytes, r.Filename, bufio.ScanLines)
				var text strings.Builder
				for lines.Scan() {
					if at := lines.Range().Start.Line; at >= r.Start.Line && at <= r.End.Line {
						text.Write(lines.Bytes())
						text.WriteByte('\n')
					}
				}
				f.Snippet = &snippet{Code: text.String(), StartLine: r.Start.Line}
			}
		}
		out.Diagnostics = append(out.Diagnostics, f)
	}
	out.Valid = out.Errors == 0
	return out
}
