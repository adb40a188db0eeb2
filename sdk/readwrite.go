package sdk

import (
	"fmt"
	"reflect"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// read decodes a value from the wire into a new struct. No value is the zero struct. What the
// struct cannot hold is left zero, and noted.
func (o *object) read(v *pluginv1.Value) (reflect.Value, notes, error) {
	into := reflect.New(o.goType).Elem()
	if v == nil {
		return into, notes{}, nil
	}
	var said notes
	r, err := wire.Raw(v, o.nothing.Type())
	if err == nil {
		said, err = decode(o, r, into)
	}
	if err != nil {
		return into, said, fmt.Errorf("davit sent a value that does not fit the schema: %w", err)
	}
	return into, said, nil
}

// write encodes a struct for the wire. The zero reflect.Value is the zero struct.
func (o *object) write(v reflect.Value) (*pluginv1.Value, error) {
	if !v.IsValid() {
		v = reflect.New(o.goType).Elem()
	}
	if v.Type() != o.goType {
		return nil, fmt.Errorf("the plugin answered with a %s where the type has a %s", v.Type(), o.goType)
	}
	b, err := o.encode(make([]byte, 0, usual), v)
	if err != nil {
		return nil, fmt.Errorf("the plugin answered with outputs that cannot be sent: %w", err)
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}, nil
}

// usual is what the encoding of most outputs fits in.
const usual = 256

// readConfig reads a configuration. The notes tell which attributes are not known though they are no Values, and which are
// deprecated.
func (o *object) readConfig(v *pluginv1.Value) (reflect.Value, notes, error) {
	config, said, err := o.read(v)
	if found := append(said.errs, said.broken...); err == nil && len(found) > 0 {
		err = found
	}
	return config, said, err
}

// readRecord reads what state has of an instance, nil if it has nothing. A record that an older plugin
// made may not be in the form of today; what does not fit is left zero, so that the instance can
// still be mended or deleted.
func (t *typeInfo) readRecord(r *pluginv1.Record) (*record, error) {
	if r == nil {
		return nil, nil
	}
	config, _, err := t.config.read(r.GetConfig())
	if err != nil {
		return nil, fmt.Errorf("the configuration in state: %w", err)
	}
	outputs, _, err := t.outputs.read(r.GetOutputs())
	if err != nil {
		return nil, fmt.Errorf("the outputs in state: %w", err)
	}
	return &record{config: config, outputs: outputs, private: r.GetPrivate()}, nil
}
