package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/pluginhost"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/protocol"
)

// schemaFlags are the flags of schema.
type schemaFlags struct {
	markdown, json bool
	out            string
}

func (a *app) schemaCmd() *cobra.Command {
	var f schemaFlags
	cmd := &cobra.Command{
		Use: "schema [PLUGIN|PATH]...", Short: "Print the reference of plugins' types",
		Long: "Schema prints the blocks of plugins with their arguments and outputs: of all built-in plugins, of the named ones, or\n" +
			"of one from outside, by its path.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.schema(cmd, &f, args) },
	}
	cmd.Flags().BoolVar(&f.markdown, "markdown", false, "print pages of Markdown (the default)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: schemas/schema.schema.json")
	cmd.Flags().StringVar(&f.out, "out", "", "write a page NAME.md of each plugin into this `folder` instead")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json")
	cmd.MarkFlagsMutuallyExclusive("out", "json")
	return cmd
}

func (a *app) schema(cmd *cobra.Command, f *schemaFlags, args []string) error {
	if len(args) == 0 {
		args = sortedKeys(builtins)
	}
	var list []*pluginv1.DescribeResponse
	for _, arg := range args {
		d, err := a.describeOne(cmd, arg)
		if err != nil {
			return err
		}
		list = append(list, d)
	}
	if f.json {
		return writeSchemaJSON(a.out, list)
	}
	for _, d := range list {
		if f.out == "" {
			writeReference(a.out, d)
			continue
		}
		var b bytes.Buffer
		writeReference(&b, d)
		if err := os.MkdirAll(f.out, 0o755); err != nil { //nolint:gosec // pages for all to read
			return err
		}
		page := filepath.Join(f.out, d.GetName()+".md")
		if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
		fmt.Fprintln(a.out, page)
	}
	return nil
}

// describeOne asks a plugin, built in or at a path, what it is.
func (a *app) describeOne(cmd *cobra.Command, arg string) (*pluginv1.DescribeResponse, error) {
	if plugin := builtins[arg]; plugin != nil {
		return protocol.Describe(plugin(version)), nil
	}
	if _, err := os.Stat(arg); err != nil {
		return nil, fmt.Errorf("%q is neither a built-in plugin (%s) nor a file", arg, strings.Join(sortedKeys(builtins), ", "))
	}
	path, err := pluginPath(arg)
	if err != nil {
		return nil, err
	}
	examples, err := pluginExamples("", path)
	if err != nil {
		return nil, err
	}
	host := pluginhost.New(pluginhost.Options{Version: version, Plugins: map[string]pluginhost.Executable{"it": {Path: path, Args: examples.Args, Env: examples.Env}}})
	defer host.Close()
	client, err := host.Client(cmd.Context(), "it")
	if err != nil {
		return nil, err
	}
	d, err := client.Describe(cmd.Context())
	if err == nil && (d.GetName() == "" || d.GetName() != filepath.Base(d.GetName())) {
		return nil, fmt.Errorf("the plugin %s reports the name %q, which is not a name", arg, d.GetName())
	}
	return d, err
}

// ownAttributes returns the arguments that davit adds to the blocks of a kind.
func ownAttributes(kind string) []schemaAttribute {
	k, ok := kinds.Find(kind)
	if !ok {
		return nil
	}
	var list []schemaAttribute
	for _, a := range k.Arguments {
		out := schemaAttribute{Name: a.Name, Required: a.Required, Description: a.Help}
		out.Type, _ = ctyjson.MarshalType(a.Type) // a type of the table can always be written
		if a.Default != cty.NilVal {
			out.Default, _ = ctyjson.Marshal(a.Default, a.Type)
		}
		list = append(list, out)
	}
	return list
}

// ownType returns the type of an argument that davit adds, as the reference pages write it; "" for another argument.
func ownType(kind, name string) string {
	if k, ok := kinds.Find(kind); ok {
		for _, a := range k.Arguments {
			if a.Name == name {
				return a.Words
			}
		}
	}
	return ""
}

// writeReference writes the reference page of a plugin.
func writeReference(w io.Writer, d *pluginv1.DescribeResponse) {
	fmt.Fprintf(w, "# Plugin %s\n", d.GetName())
	for _, c := range kinds.AllCredentials() {
		if builtins[d.GetName()] == nil || !slices.Contains(c.Plugins, d.GetName()) {
			continue
		}
		fmt.Fprintf(w, "\n## credentials %q\n\n%s See [credentials](../credentials.md).\n\n", c.Name, c.Help)
		for _, a := range c.Arguments() {
			required := ""
			if a.Required {
				required = ", **required**"
			}
			fmt.Fprintf(w, "- `%s`: %s%s. %s\n", a.Name, a.Words, required, a.Help)
		}
	}
	for _, t := range d.GetTypes() {
		fmt.Fprintf(w, "\n## %s %q\n\n%s\n\n### Arguments\n\n", t.GetKind(), t.GetName(), t.GetDescription())
		writeBlock(w, t.GetConfig(), "")
		for _, own := range ownAttributes(t.GetKind()) {
			fmt.Fprintf(w, "- `%s`: %s%s. %s\n", own.Name, ownType(t.GetKind(), own.Name), ownNotes(own), own.Description)
		}
		fmt.Fprint(w, "\n### Outputs\n\n")
		writeBlock(w, optional(t.GetOutputs()), "")
	}
}

func ownNotes(a schemaAttribute) string {
	switch {
	case a.Required:
		return ", **required**"
	case a.Default != nil:
		return ", optional, default `" + string(a.Default) + "`"
	}
	return ", optional"
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
		switch list := n.GetNesting() == pluginv1.NestedBlock_NESTING_LIST; {
		case list && n.GetRequired():
			many = "at least one"
		case list:
			many = "any number"
		case n.GetRequired():
			many = "**required**"
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
	if e := a.GetEnum(); len(e) > 0 {
		list = append(list, "one of `"+strings.Join(e, "`, `")+"`")
	}
	if p := a.GetPattern(); p != "" {
		list = append(list, "matches `"+p+"`")
	}
	if a.Min != nil {
		list = append(list, fmt.Sprintf("at least %v", a.GetMin()))
	}
	if a.Max != nil {
		list = append(list, fmt.Sprintf("at most %v", a.GetMax()))
	}
	if d := a.GetDeprecated(); d != "" {
		list = append(list, "**deprecated**: "+strings.TrimSuffix(d, "."))
	}
	return list
}

// typeName writes a type as the language does; what takes a whole block says so by its attributes.
func typeName(raw []byte) string {
	t, err := ctyjson.UnmarshalType(raw)
	if err != nil {
		return "any"
	}
	return t.FriendlyName()
}
