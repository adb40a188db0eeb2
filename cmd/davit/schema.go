package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use: "schema [PLUGIN]", Short: "Print the reference of the built-in types as Markdown", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range sortedKeys(builtins) {
				if len(args) == 0 || args[0] == name {
					writeReference(a.out, builtins[name](version).Describe())
				}
			}
			return nil
		},
	}
}

// writeReference writes the reference page of a plugin.
func writeReference(w io.Writer, d *pluginv1.DescribeResponse) {
	fmt.Fprintf(w, "# Plugin %s\n", d.GetName())
	for _, t := range d.GetTypes() {
		fmt.Fprintf(w, "\n## %s %q\n\n%s\n\n### Arguments\n\n", t.GetKind(), t.GetName(), t.GetDescription())
		writeBlock(w, t.GetConfig(), "")
		switch t.GetKind() {
		case "image":
			fmt.Fprint(w, "- `builds`: list of builds, optional. Builds whose tags are candidates already while they are only planned.\n")
		case "policy":
			fmt.Fprint(w, "- `image`: a whole image, **required**. What to choose from.\n- `allow_older`: bool, optional, default `false`. Let the choice go backwards when the chosen tag was withdrawn.\n")
		}
		fmt.Fprint(w, "\n### Outputs\n\n")
		writeBlock(w, optional(t.GetOutputs()), "")
	}
}

func writeBlock(w io.Writer, b *pluginv1.Block, indent string) {
	attributes := slices.Clone(b.GetAttributes())
	slices.SortFunc(attributes, func(x, y *pluginv1.Attribute) int { return strings.Compare(x.GetName(), y.GetName()) })
	for _, at := range attributes {
		fmt.Fprintf(w, "%s- `%s`: %s", indent, at.GetName(), typeName(at.GetType()))
		for _, note := range notes(at) {
			fmt.Fprint(w, ", "+note)
		}
		fmt.Fprintf(w, ". %s\n", at.GetDescription())
	}
	for _, n := range b.GetBlocks() {
		many := "at most one"
		if n.GetNesting() == pluginv1.NestedBlock_NESTING_LIST {
			many = "any number"
		}
		fmt.Fprintf(w, "%s- block `%s`, %s. %s\n", indent, n.GetName(), many, n.GetDescription())
		writeBlock(w, n.GetBlock(), indent+"  ")
	}
}

// optional is a block of which nothing has to be given: outputs are there by themselves.
func optional(b *pluginv1.Block) *pluginv1.Block {
	out := &pluginv1.Block{}
	for _, a := range b.GetAttributes() {
		out.Attributes = append(out.Attributes, &pluginv1.Attribute{Name: a.GetName(), Type: a.GetType(), Sensitive: a.GetSensitive(), Description: a.GetDescription()})
	}
	return out
}

func notes(a *pluginv1.Attribute) []string {
	var list []string
	if a.GetRequired() {
		list = append(list, "**required**")
	}
	if d := a.GetDefault().GetJson(); d != nil {
		list = append(list, "default `"+string(d)+"`")
	}
	if a.GetSensitive() {
		list = append(list, "sensitive")
	}
	return list
}

// typeName writes a type as the language does; what takes a whole block says so by its attributes.
func typeName(raw []byte) string {
	t, err := json.UnmarshalType(raw)
	if err != nil {
		return "any"
	}
	return t.FriendlyName()
}
