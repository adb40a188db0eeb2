package sdk

// Type is one type of a plugin, made by Source, Image, Policy, Build or Application.
type Type interface {
	// Kind returns "source", "image", "policy", "build" or "application".
	Kind() string
	// Name returns the block's first label.
	Name() string
}

// Option says more about a type.
type Option func(*typeInfo)

type typeInfo struct {
	kind, name    string
	description   string
	cannotRecover bool
}

func (t *typeInfo) Kind() string { return t.kind }
func (t *typeInfo) Name() string { return t.name }

// Description is the type's one paragraph in the reference.
func Description(text string) Option { return func(t *typeInfo) { t.description = text } }

// Source makes a type of kind "source". O must embed SourceOutputs.
func Source[C, O any](name string, s Observer[C, O], options ...Option) Type { return nil }

// Image makes a type of kind "image". O must embed ImageOutputs.
func Image[C, O any](name string, i ImageObserver[C, O], options ...Option) Type { return nil }

// Policy makes a type of kind "policy". Its outputs are davit's.
func Policy[C any](name string, p Decider[C], options ...Option) Type { return nil }

// Build makes a type of kind "build". O must embed BuildOutputs.
func Build[C, O any](name string, b Managed[C, O], options ...Option) Type { return nil }

// Application makes a type of kind "application". O must embed ApplicationOutputs.
func Application[C, O any](name string, a Managed[C, O], options ...Option) Type { return nil }
