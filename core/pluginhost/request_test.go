package pluginhost

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// A field that is new in the protocol must not be lost on the way to the stream.
func TestARequestKeepsAllFields(t *testing.T) {
	r := &pluginv1.PlanRequest{}
	m := r.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); f.Kind() {
		case protoreflect.MessageKind:
			m.Set(f, m.NewField(f))
		case protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("x"))
		case protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes([]byte("x")))
		case protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(1))
		default:
			t.Fatalf("a value for %s is needed here", f.FullName())
		}
	}
	got := (&Client{stack: "x"}).request(r, 7)
	r.Id = 7
	if !proto.Equal(got, r) {
		t.Errorf("of\n%v\nis left\n%v", r, got)
	}
}
