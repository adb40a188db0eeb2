package main

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/sdk/redact"
)

// show prints diagnostics with the lines that they speak of: warnings first, errors last, the same one from many
// instances once. It returns an error that ends the command.
func (a *app) show(stack *config.Stack, diags hcl.Diagnostics) error {
	var files map[string]*hcl.File
	if stack != nil {
		files = stack.Files
	}
	return a.write(files, diags)
}

// showSource prints diagnostics about a text that is no file.
func (a *app) showSource(name, text string, diags hcl.Diagnostics) error {
	return a.write(map[string]*hcl.File{name: {Bytes: []byte(text)}}, diags)
}

func (a *app) write(files map[string]*hcl.File, diags hcl.Diagnostics) error {
	if a.collect != nil { // they are printed otherwise
		*a.collect = append(*a.collect, diags...)
		a.files = printable(files)
		if diags.HasErrors() {
			return errShown
		}
		return nil
	}
	folded := diag.Fold(diags)
	if len(folded) == 0 {
		return nil
	}
	w := hcl.NewDiagnosticTextWriter(a.err, printable(files), 0, a.color(a.err))
	warnings := 0
	for _, d := range folded {
		if d.Severity == hcl.DiagWarning {
			warnings++
			if a.compactWarnings {
				continue
			}
		}
		shown := *d
		if hint := diag.InfoOf(d).Hint; hint != "" {
			if shown.Detail != "" {
				shown.Detail += "\n\n"
			}
			shown.Detail += hint
		}
		shown.Summary, shown.Detail = text.Clean(shown.Summary), text.CleanLines(shown.Detail)
		if err := w.WriteDiagnostic(&shown); err != nil {
			return err
		}
	}
	if a.compactWarnings && warnings > 0 {
		fmt.Fprintf(a.err, "Warnings:\n")
		for _, d := range folded[:warnings] {
			fmt.Fprintf(a.err, "- %s\n", text.Clean(d.Summary))
		}
		fmt.Fprintln(a.err)
	}
	if !diags.HasErrors() {
		return nil
	}
	if errs := len(folded) - warnings; errs > 1 {
		fmt.Fprintf(a.err, "%d errors.\n", errs)
	}
	return errShown
}

// printable are files as they are shown: a URL in them may hold a password that nobody should have written there, and
// control characters would reach the terminal.
func printable(files map[string]*hcl.File) map[string]*hcl.File {
	out := make(map[string]*hcl.File, len(files))
	for name, f := range files {
		shown := *f
		shown.Bytes = text.CleanSource(redact.Source(f.Bytes))
		out[name] = &shown
	}
	return out
}

// emitDiagnostics tells diagnostics as events.
func emitDiagnostics(emit event.Sink, diags hcl.Diagnostics) {
	for _, d := range diag.Fold(diags) {
		info := diag.InfoOf(d)
		e := &event.Diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail, Address: info.Address, Hint: info.Hint, Code: info.Code}
		if d.Severity == hcl.DiagWarning {
			e.Severity = "warning"
		}
		if d.Subject != nil {
			e.File, e.Line = d.Subject.Filename, d.Subject.Start.Line
		}
		emit(event.Event{Time: time.Now().UTC(), Type: event.Diagnostics, Address: info.Address, Diagnostic: e})
	}
}
