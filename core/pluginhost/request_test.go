package pluginhost

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// A request that is sent with the id of a call has every field of the original, those of later versions of the protocol as well.
func TestARequestWithItsIDHasAllFields(t *testing.T) {
	r := &pluginv1.PlanRequest{}
	m := r.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.IsList():
			l := m.Mutable(f).List()
			l.Append(l.NewElement())
		case f.Kind() == protoreflect.MessageKind:
			m.Mutable(f)
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("x"))
		case f.Kind() == protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes([]byte("x")))
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case f.Kind() == protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(1))
		default:
			t.Fatalf("set the field %s here", f.Name())
		}
	}
	got := (&Client{stack: "x"}).request(r, 1)
	if !proto.Equal(got, r) {
		t.Errorf("got  %v\nwant %v", got, r)
	}
}
