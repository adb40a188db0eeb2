package pluginv1_test

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// The generated code is what plugin.proto says. If not: make generate.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{"../../.."}}}
	files, err := c.Compile(t.Context(), "schemas/plugin/v1/plugin.proto")
	if err != nil {
		t.Fatal(err)
	}
	want := protodesc.ToFileDescriptorProto(files[0])
	got := protodesc.ToFileDescriptorProto(pluginv1.File_schemas_plugin_v1_plugin_proto)
	want.SourceCodeInfo, got.SourceCodeInfo = nil, nil
	if !proto.Equal(want, got) {
		t.Error("the generated code is not what plugin.proto says: run make generate")
	}
}
