// Package config reads a stack's files: HCL text in, blocks with their source ranges out.
// It knows the language's block forms and nothing of values, plugins or state.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
)

// Kinds are the kinds of block that plugins provide types for.
var Kinds = []string{"source", "image", "policy", "build", "application"}

// LockFile is the file that `davit init` writes; it is no part of the configuration.
const LockFile = "davit.lock.hcl"

// Stack is one directory of *.hcl files.
type Stack struct {
	Dir       string
	Files     map[string]*hcl.File // by the name that ranges carry
	Settings  Settings
	Variables map[string]*Variable
	Locals    map[string]*Local
	Outputs   map[string]*Output
	Blocks    map[addr.Node]*Block
	Order     []addr.Node // of Blocks, as they stand in the files
	Digest    string      // "sha256:..." over names and contents of the files
	Broken    bool        // some text is no HCL, so that blocks may be missing
}

// Settings is the davit block.
type Settings struct {
	RequiredVersion string
	VersionRange    hcl.Range
	Plugins         map[string]*RequiredPlugin
	State           *StateBlock // nil: the local default
}

// RequiredPlugin is an entry of required_plugins.
type RequiredPlugin struct {
	Name    string
	Source  string // a path of an executable
	Version string // constraint
	Env     []string
	Range   hcl.Range
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
	Validations []Validation
	Range       hcl.Range
}

// Validation is a rule for a variable.
type Validation struct {
	Condition, Message hcl.Expression
	Range              hcl.Range
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
	PreventDestroy bool
}

// Load reads all *.hcl files of a directory. All findings come at once.
func Load(dir string) (*Stack, hcl.Diagnostics) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The stack cannot be read", err.Error())}
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".hcl" || e.Name() == LockFile || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, hcl.Diagnostics{diag.Plain("The stack cannot be read", err.Error())}
		}
		files[e.Name()] = src
	}
	if len(files) == 0 {
		return nil, hcl.Diagnostics{diag.Plain("No configuration here",
			fmt.Sprintf("There are no *.hcl files in %s. Change to the stack's directory, or name it with -chdir.", dir))}
	}
	return Parse(dir, files)
}

// Parse reads files that are in memory already, by name.
func Parse(dir string, files map[string][]byte) (*Stack, hcl.Diagnostics) {
	s := &Stack{
		Dir: dir, Files: map[string]*hcl.File{}, Variables: map[string]*Variable{}, Locals: map[string]*Local{},
		Outputs: map[string]*Output{}, Blocks: map[addr.Node]*Block{},
		Settings: Settings{Plugins: map[string]*RequiredPlugin{}},
	}
	var diags hcl.Diagnostics
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		fmt.Fprintf(hash, "%s\x00%d\x00", name, len(files[name]))
		hash.Write(files[name])
		if d := tooDeep(name, files[name]); d != nil {
			diags = append(diags, d)
			s.Broken = true
			continue
		}
		f, more := hclsyntax.ParseConfig(files[name], name, hcl.InitialPos)
		diags = append(diags, more...)
		if f == nil {
			continue
		}
		s.Files[name] = f
		if more.HasErrors() {
			s.Broken = true
			continue
		}
		diags = append(diags, s.addFile(f.Body)...)
	}
	s.Digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return s, diags
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
