package config

import (
	"bytes"
	"maps"
	"runtime"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/sync/errgroup"
)

const (
	// largeFile is how many bytes a file has that is parsed in parts.
	largeFile = 32 << 10
	// partSize is how many bytes are parsed at a time then: so few that the parser's list of tokens has not to grow often.
	partSize = 2 << 10
)

// parseFile parses a file. A large one is parsed in parts, some at once: that is faster, and the parser
// needs many times the memory of what it reads at a time.
func parseFile(src []byte, name string) (*hcl.File, hcl.Diagnostics) {
	if len(src) <= largeFile {
		return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	return parseParts(src, name, partSize)
}

func parseParts(src []byte, name string, size int) (*hcl.File, hcl.Diagnostics) {
	parts := split(src, size)
	files := make([]*hcl.File, len(parts))
	wrong := make([]bool, len(parts))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	at := hcl.InitialPos
	for i, part := range parts {
		start := at
		group.Go(func() error {
			var diags hcl.Diagnostics
			files[i], diags = hclsyntax.ParseConfig(part, name, start)
			wrong[i] = len(diags) > 0
			return nil
		})
		at.Line += bytes.Count(part, []byte("\n"))
		at.Byte += len(part)
	}
	_ = group.Wait() // what is wrong stands in wrong
	for _, w := range wrong {
		if w {
			// A mistake, or a part that ends in the middle of something. Parts that are each right
			// are right together: each of them ends where the parser is between two blocks.
			return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
		}
	}
	return join(src, files), nil
}

// split cuts a text behind lines that most likely end a block: those with a brace alone.
func split(src []byte, size int) [][]byte {
	var parts [][]byte
	end := []byte("\n}\n")
	for len(src) > size {
		i := bytes.Index(src[size:], end)
		if i < 0 {
			break
		}
		cut := size + i + len(end)
		parts, src = append(parts, src[:cut]), src[cut:]
	}
	if len(src) > 0 || len(parts) == 0 {
		parts = append(parts, src)
	}
	return parts
}

// join makes one file of its parts.
func join(src []byte, files []*hcl.File) *hcl.File {
	whole := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}}
	nav := parts{}
	for _, f := range files {
		b := f.Body.(*hclsyntax.Body)
		whole.Blocks = append(whole.Blocks, b.Blocks...)
		maps.Copy(whole.Attributes, b.Attributes)
		nav = append(nav, f)
	}
	first, last := files[0].Body.(*hclsyntax.Body), files[len(files)-1].Body.(*hclsyntax.Body)
	whole.SrcRange, whole.EndRange = hcl.RangeBetween(first.SrcRange, last.SrcRange), last.EndRange
	return &hcl.File{Body: whole, Bytes: src, Nav: nav}
}

// parts find the block around a place in a file that was parsed in parts, for messages.
type parts []*hcl.File

// ContextString is what hcl's diagnostic writer asks for: the header of the block at a byte.
func (p parts) ContextString(offset int) string {
	for _, f := range p {
		if n, ok := f.Nav.(interface{ ContextString(offset int) string }); ok {
			if s := n.ContextString(offset); s != "" {
				return s
			}
		}
	}
	return ""
}
