// Package config reads a stack's files: HCL text in, blocks with their source ranges out.
// It knows the language's block forms and nothing of values, plugins or state.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/limit"
)

// Kinds are the kinds of block that plugins provide types for: the names in the table of kinds.
var Kinds = kinds.Names()

// Notification is the kind of what is told of plans and applies. Nothing refers to it, and it is no part of a plan.
const Notification = kinds.Notification

// LockFile is the file that `davit init` writes; it is no part of the configuration.
const LockFile = "davit.lock.hcl"

// Stack is one directory of *.hcl files, with the modules that it calls.
type Stack struct {
	*Module
	Files    map[string]*hcl.File // of all modules, by the name that ranges carry
	Settings Settings
	Gates    []*Gate // in the order of the files
	Digest   string  // "sha256:..." over names and contents of all files
	// Sums tell the contents of each file apart, by the same names as Files.
	Sums   map[string]string
	Broken bool // some text is no HCL, so that blocks may be missing
}

// Module is what one directory declares. The stack's own directory is the root module.
type Module struct {
	Dir       string
	Root      string // Location.Root
	Variables map[string]*Variable
	Locals    map[string]*Local
	Outputs   map[string]*Output
	Blocks    map[addr.Node]*Block // without a module in their addresses
	Order     []addr.Node          // of Blocks, as they stand in the files; without notifications
	// Notifications are those of Blocks that are told of what happens.
	Notifications []addr.Node
	Calls         map[string]*Call
	CallOrder     []string
	Moved         []*Moved
	Removed       []*Removed
	Imports       []*Import
	Checks        []*Check
}

// Settings is the davit block.
type Settings struct {
	RequiredVersion string
	VersionRange    hcl.Range
	Plugins         map[string]*RequiredPlugin // those from outside
	BuiltIn         map[string]*RequiredPlugin // entries without a source: what a built-in plugin may see of the environment
	State           *StateBlock                // nil: the local default
	Credentials     []*Credentials
}

// Credentials is a credentials block.
type Credentials struct {
	Kind  kinds.Credentials
	Given map[string]hcl.Expression // by argument: the host, and one of those that give the secret, are there
	Range hcl.Range
}

// RequiredPlugin is an entry of required_plugins.
type RequiredPlugin struct {
	Name      string
	Source    string   // a path of an executable, or oci://REPOSITORY[:TAG][@DIGEST]
	Version   string   // constraint
	Env       []string // environment variables that it may see besides the usual ones
	PublicKey string   // that the plugin is signed with: a path, or the key in PEM form
	Range     hcl.Range
}

// StateBlock says where the state is.
type StateBlock struct {
	Type  string
	Body  hcl.Body
	Range hcl.Range
}

// Variable is a variable block.
type Variable struct {
	Name        string
	Type        hcl.Expression // nil: any
	Default     hcl.Expression // nil: required
	Description string
	Sensitive   bool
	Nullable    bool
	Validations []Condition
	Range       hcl.Range
}

// Local is one entry of a locals block.
type Local struct {
	Name  string
	Expr  hcl.Expression
	Range hcl.Range
}

// Output is an output block.
type Output struct {
	Name        string
	Expr        hcl.Expression
	Description string
	Sensitive   bool
	DependsOn   []hcl.Traversal
	Pre         []Condition
	Range       hcl.Range
}

// Block is one kind "type" "name" block.
type Block struct {
	Addr           addr.Node
	ForEach, Count hcl.Expression // at most one
	DependsOn      []hcl.Traversal
	Lifecycle      Lifecycle
	Body           hcl.Body // without the meta-arguments
	Range          hcl.Range
}

// Lifecycle is the lifecycle block of a block.
type Lifecycle struct {
	PreventDestroy      bool
	CreateBeforeDestroy bool
	Drift               string // what the loop does about drift: "" or DriftMend mends it, DriftReport only reports it
	IgnoreAll           bool
	Ignore              []hcl.Traversal // relative: image, metadata.labels["x"]
	ReplaceTriggeredBy  []hcl.Expression
	Pre, Post           []Condition
}

// The values of Lifecycle.Drift.
const (
	DriftMend   = "mend"
	DriftReport = "report"
)

// Condition is a rule with what to say when it does not hold.
type Condition struct {
	Condition, Message hcl.Expression
	Range              hcl.Range
}

// Call is a module block.
type Call struct {
	Name, Source, Version string
	ForEach, Count        hcl.Expression // at most one
	DependsOn             []hcl.Traversal
	Arguments             hcl.Attributes
	Module                *Module // nil when it was not loaded
	Range                 hcl.Range
}

// Moved says that an instance, a block or a module has got another name.
type Moved struct {
	From, To addr.Place
	Range    hcl.Range
}

// Removed says that something is not declared any more, and what happens to what it stands for.
type Removed struct {
	From    addr.Place
	Destroy bool
	Range   hcl.Range
}

// Import says that an existing object belongs to an instance.
type Import struct {
	ForEach hcl.Expression // nil: one object
	To      addr.Place
	Key     hcl.Expression // of the instance, if it is not written out in To; may use each
	ID      hcl.Expression // may use each
	Range   hcl.Range
}

// Check is a check block: rules that warn.
type Check struct {
	Name    string
	Asserts []Condition
	Range   hcl.Range
}

// Location is where a module's files are.
type Location struct {
	Dir  string
	Name string // how its files are called in messages, the same on every machine; "" is the stack itself
	Root string // the folder that paths in it may not leave; "" is any
}

// Resolver finds the files of modules.
type Resolver interface {
	// Find returns where a module is that is called from a parent.
	Find(parent Location, source, version string) (Location, error)
}

// Load reads all *.hcl files of a directory, without the modules that they call. All findings come at once.
func Load(dir string) (*Stack, hcl.Diagnostics) { return LoadTree(dir, nil) }

// LoadTree reads all *.hcl files of a directory, and the modules that they call, directly or not.
func LoadTree(dir string, modules Resolver) (*Stack, hcl.Diagnostics) {
	files, d := read(dir)
	if d != nil {
		return nil, hcl.Diagnostics{d}
	}
	if len(files) == 0 {
		return nil, hcl.Diagnostics{diag.Plain("No configuration",
			fmt.Sprintf("%s contains no *.hcl files. Change to the stack's directory, or name it with -chdir.", dir))}
	}
	return parse(dir, files, modules)
}

// read reads the files of a directory, by name.
func read(dir string) (map[string][]byte, *hcl.Diagnostic) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, diag.Plain("The stack cannot be read", err.Error())
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".hcl" || e.Name() == LockFile || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, diag.Plain("The stack cannot be read", err.Error())
		}
		files[e.Name()] = src
	}
	return files, nil
}

// Parse reads files that are in memory already, by name. Modules are left out.
func Parse(dir string, files map[string][]byte) (*Stack, hcl.Diagnostics) {
	return parse(dir, files, nil)
}

func parse(dir string, files map[string][]byte, modules Resolver) (*Stack, hcl.Diagnostics) {
	s := &Stack{Files: map[string]*hcl.File{}, Sums: map[string]string{}, Settings: Settings{Plugins: map[string]*RequiredPlugin{}, BuiltIn: map[string]*RequiredPlugin{}}}
	l := &loader{stack: s, modules: modules, hash: sha256.New(), loaded: map[string]*Module{}}
	var diags hcl.Diagnostics
	root := Location{Dir: dir}
	s.Module, diags = l.module(root, files)
	if modules != nil {
		diags = append(diags, l.calls(s.Module, root, "", nil)...)
	}
	s.Digest = "sha256:" + hex.EncodeToString(l.hash.Sum(nil))
	return s, diags
}

// loader reads a stack and what it calls.
type loader struct {
	stack   *Stack
	modules Resolver
	hash    hash.Hash
	loaded  map[string]*Module // by directory: a module that is called twice is read once
}

// module reads one directory's files. The names in ranges begin with the location's.
func (l *loader) module(at Location, files map[string][]byte) (*Module, hcl.Diagnostics) {
	m := &Module{
		Dir: at.Dir, Root: at.Root, Variables: map[string]*Variable{}, Locals: map[string]*Local{}, Outputs: map[string]*Output{},
		Blocks: map[addr.Node]*Block{}, Calls: map[string]*Call{},
	}
	var diags hcl.Diagnostics
	for _, base := range slices.Sorted(maps.Keys(files)) {
		name, src := path.Join(at.Name, base), files[base]
		sum := sha256.Sum256(src)
		fmt.Fprintf(l.hash, "%s\x00%d\x00", name, len(src))
		l.hash.Write(sum[:])
		l.stack.Sums[name] = hex.EncodeToString(sum[:8])
		if d := tooDeep(name, src); d != nil {
			diags = append(diags, d)
			l.stack.Broken = true
			continue
		}
		f, more := parseFile(src, name)
		diags = append(diags, more...)
		if f == nil {
			continue
		}
		l.stack.Files[name] = f
		if more.HasErrors() {
			l.stack.Broken = true
			continue
		}
		if limit.MayLoop(src) {
			limit.Guard(f.Body.(*hclsyntax.Body))
		}
		diags = append(diags, m.addFile(l.stack, f.Body, at.Name == "")...)
	}
	return m, diags
}

// deepest is how deep modules may call each other.
const deepest = 20

// calls reads the modules that m calls. above are the directories on the way to it.
func (l *loader) calls(m *Module, from Location, address string, above []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	above = append(slices.Clone(above), m.Dir)
	for _, name := range m.CallOrder {
		c := m.Calls[name]
		at := strings.TrimPrefix(address+".module."+name, ".")
		where, err := l.modules.Find(from, c.Source, c.Version)
		if err != nil {
			diags = append(diags, diag.Errorf(c.Range, "Module not found", "%s: %s", at, err))
			continue
		}
		if slices.Contains(above, where.Dir) || len(above) > deepest {
			diags = append(diags, diag.Errorf(c.Range, "Circular module calls", "%s calls %s, which already contains it.", at, c.Source))
			continue
		}
		child := l.loaded[where.Dir]
		if child == nil {
			files, d := read(where.Dir)
			if d != nil {
				diags = append(diags, diag.Errorf(c.Range, "Module cannot be read", "%s: %s", at, d.Detail))
				continue
			}
			if len(files) == 0 {
				diags = append(diags, diag.Errorf(c.Range, "Empty module", "%s: %s contains no *.hcl files.", at, c.Source))
				continue
			}
			var more hcl.Diagnostics
			child, more = l.module(where, files)
			l.loaded[where.Dir] = child
			diags = append(diags, more...)
			diags = append(diags, l.calls(child, where, at, above)...)
		}
		c.Module = child
	}
	return diags
}

// maxDepth is how deep brackets may nest: deeper than any person writes, shallow enough for the parser's stack.
const maxDepth = 200

// tooDeep refuses text that would make the parser recurse without end. Brackets in
// strings count only if the cheap look already found too many.
func tooDeep(name string, src []byte) *hcl.Diagnostic {
	depth := 0
	deep := false
	for _, b := range src {
		switch b {
		case '(', '[', '{':
			if depth++; depth > maxDepth {
				deep = true
			}
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
	if !deep {
		return nil
	}
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	depth = 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			if depth++; depth > maxDepth {
				return diag.Errorf(t.Range, "Nested too deeply", "Brackets are nested more than %d deep here. Split the expression into locals.", maxDepth)
			}
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenTemplateSeqEnd:
			depth--
		}
	}
	return nil
}
