package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/modules"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/plugins/oci"
	"github.com/davit-sh/davit/state"
)

// newFinder finds modules that are paths, and those that were fetched.
func newFinder(locked session.LockFile) (*modules.Finder, error) {
	cache, err := cacheDir()
	return &modules.Finder{CacheDir: cache, Locked: locked.Modules}, err
}

// fetcher gets modules as any stack gets its files: by a source of type "git" or "oci".
type fetcher struct {
	app        *app
	ctx        context.Context
	dir, cache string
	// credentials returns those of the stack that calls the modules.
	credentials func() (session.Credentials, error)
}

func (f *fetcher) fetch(p modules.Package, constraint string, pin *modules.Locked) (modules.Locked, error) {
	wanted := ""
	var err error
	if constraint != "" {
		if wanted, err = modules.Range(constraint); err != nil {
			return modules.Locked{}, err
		}
	}
	at, err := f.observe(p, wanted, pin)
	if err != nil {
		return modules.Locked{}, err
	}
	l := modules.Locked{Resolved: at.GetAttr("revision").AsString(), Tree: at.GetAttr("tree").GetAttr("digest").AsString()}
	switch {
	case pin != nil:
		l.Tag = pin.Tag
	case p.Type == "oci":
		l.Tag = at.GetAttr("tag").AsString()
	case wanted != "":
		l.Tag = versionTag(at.GetAttr("tags"), wanted)
	}
	fmt.Fprintf(f.app.out, "Module %s at %s\n", p.Source, strings.TrimSpace(l.Tag+" "+l.Resolved))
	return l, nil
}

// versionTag is the highest of a commit's tags that a constraint allows.
func versionTag(tags cty.Value, want string) string {
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return ""
	}
	var best *semver.Version
	for _, t := range tags.AsValueSlice() {
		v, err := semver.NewVersion(t.AsString())
		if err == nil && constraint.Check(v) && (best == nil || v.GreaterThan(best)) {
			best = v
		}
	}
	if best == nil {
		return ""
	}
	return best.Original()
}

// observe plans a stack of one source, and returns its outputs.
func (f *fetcher) observe(p modules.Package, wanted string, pin *modules.Locked) (cty.Value, error) {
	stack, diags := config.Parse(f.dir, map[string][]byte{"module.hcl": sourceBlock(p, wanted, pin)})
	if diags.HasErrors() {
		return cty.NilVal, plainly(diags)
	}
	process, err := f.app.process()
	if err != nil {
		return cty.NilVal, err
	}
	options, err := process.HostOptions(stack, session.LockFile{}, f.gitHost(stack), false)
	if err != nil {
		return cty.NilVal, err
	}
	credentials, err := f.credentials()
	if err != nil {
		return cty.NilVal, err
	}
	options.Credentials = credentials
	host := pluginhost.New(options)
	defer host.Close()
	types, err := process.BuiltinTypes()
	if err != nil {
		return cty.NilVal, err
	}
	e := &engine.Engine{Stack: stack, Types: types, Plugins: session.Clients(host), Version: version, Secrets: credentials.Secrets()}
	made, diags := e.Plan(f.ctx, &state.Snapshot{}, engine.Options{})
	if diags.HasErrors() {
		return cty.NilVal, plainly(diags)
	}
	return made.Observations[0].Outputs.Cty()
}

// gitHost is the only Git host of the stack that calls the module, and of the module that is fetched.
func (f *fetcher) gitHost(module *config.Stack) []string {
	caller, diags := config.Load(f.dir)
	if caller == nil || diags.HasErrors() {
		return nil
	}
	values := map[string]cty.Value{}
	for name, v := range caller.Variables {
		values[name] = cty.DynamicVal
		if v.Default != nil {
			values[name] = session.Early(v.Default, nil)
		}
	}
	said := os.Getenv(session.GitHostVariable)
	of, own := session.GitHostOf(caller, values, said), session.GitHostOf(module, nil, said)
	if len(of) != 1 || len(own) != 1 || of[0] != own[0] {
		return nil
	}
	return own
}

// sourceBlock is the source that fetches a package.
func sourceBlock(p modules.Package, wanted string, pin *modules.Locked) []byte {
	file := hclwrite.NewEmptyFile()
	body := file.Body().AppendNewBlock("source", []string{p.Type, "module"}).Body()
	set := func(name, value string) {
		if value != "" {
			body.SetAttributeValue(name, cty.StringVal(value))
		}
	}
	pinned := map[string]string{"git": "commit", "oci": "digest"}[p.Type]
	set(map[string]string{"git": "url", "oci": "repository"}[p.Type], p.Where)
	switch {
	case pin != nil:
		set(pinned, pin.Resolved)
	case wanted != "":
		set("semver", wanted)
	default:
		set("ref", p.Ref)
		set("tag", p.Tag)
		set("digest", p.Digest)
	}
	return file.Bytes()
}

// plainly is the text of diagnostics about a block that nobody has written.
func plainly(diags hcl.Diagnostics) error {
	var errs []error
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			text := strings.TrimSuffix(d.Summary, ".") + ". " + d.Detail + " " + diag.InfoOf(d).Hint
			errs = append(errs, errors.New(strings.TrimSpace(text)))
		}
	}
	return errors.Join(errs...)
}

func (a *app) moduleCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "module", Short: "Publish modules"}
	var insecure, force bool
	push := &cobra.Command{
		Use: "push FOLDER oci://REPOSITORY:TAG", Short: "Push a folder as a module to a registry", Args: cobra.ExactArgs(2),
		Long: "Push packs a folder with *.hcl files as an OCI artifact and pushes it. The same files give the same digest.\n\n  davit module push modules/web oci://registry.example.com/acme/web:1.2.0",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pushModule(cmd.Context(), args[0], args[1], insecure, force)
		},
	}
	push.Flags().BoolVar(&insecure, "insecure", false, "allow plain HTTP to a registry on another machine")
	push.Flags().BoolVar(&force, "force", false, "move a tag that has other content")
	cmd.AddCommand(push)
	return cmd
}

// leftAtHome are the folders that a module is pushed without: what tools keep for themselves, secrets among it.
var leftAtHome = []string{".git", ".davit"}

func (a *app) pushModule(ctx context.Context, dir, to string, insecure, force bool) error {
	p, folder, err := modules.Parse(to)
	if err != nil || p.Type != "oci" || p.Tag == "" || folder != "" {
		return fmt.Errorf("a module cannot be pushed to %s: use the form oci://registry.example.com/acme/web:1.2.0", to)
	}
	if stack, diags := config.Load(dir); diags.HasErrors() { // nobody could use it
		return a.show(stack, diags)
	}
	digest, err := oci.PushFolder(ctx, p.Where+":"+p.Tag, oci.Folder{Dir: dir, Leave: leftAtHome}, insecure, force)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Pushed %s@%s\nUse it as source = %q\n", p.Where, digest, to)
	return nil
}
