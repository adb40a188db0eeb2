package plugintest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	goversion "github.com/hashicorp/go-version"
	"google.golang.org/protobuf/proto"

	"github.com/davit-sh/davit/core/engine/types"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// start starts the plugin and lets it describe itself.
func (s *suite) start(ctx context.Context) outcome {
	const mend = "A plugin prints one handshake line, serves gRPC on a socket in the folder of PLUGIN_UNIX_SOCKET_DIR, and answers Configure and Describe. See docs/plugin-protocol.md."
	c, err := s.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	if s.started, err = c.Describe(ctx); err != nil {
		return fail(mend, "%v", err)
	}
	s.report.Plugin, s.report.Version = s.started.GetName(), s.started.GetVersion()
	return pass()
}

var rePluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// describe looks at what the plugin says of itself, twice in one process and once in another.
func (s *suite) describe(ctx context.Context) outcome {
	d := s.started
	switch {
	case !rePluginName.MatchString(d.GetName()):
		return fail("Use lower-case letters, digits, - and _.", "it is called %q", d.GetName())
	case len(d.GetTypes()) == 0:
		return fail("Describe at least one type.", "it has no types")
	}
	if _, err := goversion.NewSemver(d.GetVersion()); err != nil {
		return fail("Use a semantic version such as 1.2.0, so that required_plugins can have a constraint.", "its version is %q", d.GetVersion())
	}
	if err := types.NewCatalogue().Add(d.GetName(), d); err != nil {
		return fail("davit refuses this description: correct it.", "%v", err)
	}
	const mend = "Describe must return the same answer every time: build it once, in a fixed order."
	c, err := s.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	for _, where := range []string{"when it was asked again", "in another process"} {
		again, err := c.Describe(ctx)
		if err != nil {
			return fail(mend, "%s: %v", where, err)
		}
		if !proto.Equal(d, again) {
			return fail(mend, "%s, it described itself differently: %s", where, difference(d, again))
		}
		s.rig.close()
		if c, err = s.rig.running(ctx); err != nil {
			return fail(mend, "%v", err)
		}
	}
	return pass()
}

// difference names the first thing that differs.
func difference(a, b *pluginv1.DescribeResponse) string {
	if a.GetName() != b.GetName() || a.GetVersion() != b.GetVersion() {
		return fmt.Sprintf("%s %s and %s %s", a.GetName(), a.GetVersion(), b.GetName(), b.GetVersion())
	}
	for i, t := range a.GetTypes() {
		if i >= len(b.GetTypes()) {
			break
		}
		if u := b.GetTypes()[i]; !proto.Equal(t, u) {
			if t.GetName() != u.GetName() || t.GetKind() != u.GetKind() {
				return fmt.Sprintf("its type %d is %s, then %s", i, typeName(t), typeName(u))
			}
			return typeName(t) + " has another schema or description"
		}
	}
	return fmt.Sprintf("%d types, then %d", len(a.GetTypes()), len(b.GetTypes()))
}

func typeName(t *pluginv1.Type) string { return t.GetKind() + "." + t.GetName() }

// unknownType asks for a type that the plugin does not have: the answer is an error, and it lives on.
func (s *suite) unknownType(ctx context.Context) outcome {
	const mend = "Return an error for an unknown type: a diagnostic in Plan, the status NOT_FOUND in the other calls."
	c, err := s.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	const missing = "there_is_no_such_type"
	if res, err := c.Validate(ctx, &pluginv1.ValidateRequest{Kind: "source", Type: missing}); err == nil && !hasError(res.GetDiagnostics()) {
		return fail(mend, "Validate of an unknown type returned no error")
	}
	res, err := c.Plan(ctx, &pluginv1.PlanRequest{Address: "source." + missing + ".x", Kind: "source", Type: missing}, nil)
	if err == nil && !hasError(res.GetDiagnostics()) {
		return fail(mend, "Plan of an unknown type returned no error")
	}
	return s.alive(ctx, mend)
}

// alive fails if the plugin does not answer any more.
func (s *suite) alive(ctx context.Context, mend string) outcome {
	if how, ended := s.rig.client.Ended(); ended {
		return fail(mend, "it ended (%s)", how)
	}
	if _, err := s.rig.client.Describe(ctx); err != nil {
		return fail(mend, "%v", err)
	}
	return pass()
}

// garbage sends values that are none: each costs its own call an error.
func (s *suite) garbage(ctx context.Context) outcome {
	const mend = "Check a value before decoding it, and return a diagnostic if it is invalid. An invalid value must not end the process or the stream."
	c, err := s.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	for _, t := range s.started.GetTypes() {
		if !slices.Contains(plannedKinds, t.GetKind()) {
			continue
		}
		for what, raw := range map[string][]byte{
			"an empty value": {}, "a code that MessagePack never uses": {0xc1}, "a list of four billion elements": {0xdd, 0xff, 0xff, 0xff, 0xff},
			"a number instead of an object": {0x2a}, "a truncated text": {0xd9, 0x20, 'x'},
		} {
			v := &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: raw}}
			res, err := c.Plan(ctx, &pluginv1.PlanRequest{Address: typeName(t) + ".garbage", Kind: t.GetKind(), Type: t.GetName(), Config: v}, nil)
			if err == nil && !hasError(res.GetDiagnostics()) {
				return fail(mend, "%s planned with %s returned no error", typeName(t), what)
			}
			if o := s.alive(ctx, mend); o.status != Passed {
				o.seen = fmt.Sprintf("%s planned with %s: %s", typeName(t), what, o.seen)
				return o
			}
		}
	}
	return pass()
}

// soon is how long a cancelled operation may take to end.
const soon = time.Second

// cancelNothing cancels while nothing runs.
func (s *suite) cancelNothing(ctx context.Context) outcome {
	const mend = "Answer Cancel at once, even if nothing runs, and without waiting for the operations."
	c, err := s.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	if err := c.Cancel(ctx); err != nil {
		return fail(mend, "%v", err)
	}
	return pass()
}

// standardOutput judges what was printed by then.
func (s *suite) standardOutput(context.Context) outcome {
	s.rig.close() // what it printed last has arrived then
	printed := s.rig.lines(&s.rig.printed)
	if len(printed) == 0 {
		return pass()
	}
	return fail("Print only the handshake to standard output. Log to standard error, or with Log messages, which the user sees beside the operation.",
		"%s on standard output, the first: %s", count(len(printed), "line"), short(printed[0]))
}

// end asks the plugin to end and sees whether it does.
func (s *suite) end(ctx context.Context) outcome {
	const mend = "End the process when go-plugin's GRPCController.Shutdown is called: see docs/plugin-protocol.md."
	c, err := s.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	s.rig.close()
	if how, _ := c.Ended(); strings.Contains(how, "signal") {
		return fail(mend, "it did not end when asked, so it was killed (%s)", how)
	}
	return pass()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short is the start of a text.
func short(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "..."
	}
	return s
}
