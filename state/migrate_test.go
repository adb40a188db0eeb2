package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/memory"
	"github.com/davit-sh/davit/state/statetest"
)

var errKilled = errors.New("killed")

// mortal counts the calls on both stores of a migration. At one of them the process dies: before the call does
// anything, or after it has, and nothing runs any more.
type mortal struct {
	calls, dieAt int
	after        bool
	names        []string
}

func (m *mortal) call(name string, fn func() error) error {
	m.calls++
	m.names = append(m.names, name)
	switch {
	case m.dieAt == 0 || m.calls < m.dieAt:
		return fn()
	case m.calls == m.dieAt && m.after:
		_ = fn()
	}
	return errKilled
}

type mortalStore struct {
	state.Store
	m    *mortal
	name string
}

func (s mortalStore) Lock(ctx context.Context, who state.Holder) (l state.Lease, err error) {
	err = s.m.call(s.name+" lock", func() error { l, err = s.Store.Lock(ctx, who); return err })
	return mortalLease{l, s.m, s.name}, err
}

func (s mortalStore) Archive(ctx context.Context) (a *state.Archive, err error) {
	err = s.m.call(s.name+" archive", func() error { a, err = s.Store.Archive(ctx); return err })
	return a, err
}

type mortalLease struct {
	state.Lease
	m    *mortal
	name string
}

func (l mortalLease) Replace(ctx context.Context, a *state.Archive) error {
	return l.m.call(l.name+" replace", func() error { return l.Lease.Replace(ctx, a) })
}

func (l mortalLease) Release(ctx context.Context) error {
	return l.m.call(l.name+" release", func() error { return l.Lease.Release(ctx) })
}

// filled puts a bit of everything into a store.
func filled(t *testing.T, s state.Store) *state.Archive {
	t.Helper()
	a := &state.Archive{Snapshot: state.Snapshot{Format: state.Format, Lineage: "shop", Serial: 12, Records: map[string]state.Record{},
		Operations: map[string]state.Operation{"op": {ID: "op", Address: "build.oci.r3", Action: "build"}}, Outputs: map[string]json.RawMessage{"o": json.RawMessage(`{"a":"<b>"}`)}}}
	for i := range 20 {
		r := statetest.Record(fmt.Sprintf("build.oci.r%d", i))
		a.Records[r.Address] = r
		a.History = append(a.History, state.Revision{Number: 4, Action: "update", Record: r}, state.Revision{Number: 3, Action: "create", Record: r})
	}
	a.History = state.SortHistory(a.History)
	withLease(t, s, func(l state.Lease) error { return l.Replace(t.Context(), a) })
	return a
}

func withLease(t *testing.T, s state.Store, fn func(state.Lease) error) {
	t.Helper()
	l, err := s.Lock(t.Context(), state.Holder{Who: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fn(l), l.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func archive(t *testing.T, s state.Store) *state.Archive {
	t.Helper()
	a, err := s.Archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// buried ends the lease that a process left behind when it died, as its expiry would.
func buried(t *testing.T, s state.Store) {
	t.Helper()
	l, err := s.Lock(t.Context(), state.Holder{})
	if locked, ok := errors.AsType[*state.LockedError](err); ok {
		err = s.Unlock(t.Context(), locked.Holder.ID)
	} else if err == nil {
		err = l.Release(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func stores() map[string]func(*testing.T) state.Store {
	return map[string]func(*testing.T) state.Store{
		"memory": func(*testing.T) state.Store { return memory.New() },
		"local": func(t *testing.T) state.Store {
			s, err := local.Open(filepath.Join(t.TempDir(), "state.db"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

// A migration that is killed at any step leaves the source as it was and the target as it was or whole, and
// can be done again.
func TestMigrateKilled(t *testing.T) {
	for pair, c := range map[string][2]string{"memory to local": {"memory", "local"}, "local to memory": {"local", "memory"}, "local to local": {"local", "local"}} {
		t.Run(pair, func(t *testing.T) {
			kills, empty, whole := 0, 0, 0
			for _, after := range []bool{false, true} {
				for step := 1; ; step++ {
					from, to := stores()[c[0]](t), stores()[c[1]](t)
					want := filled(t, from)
					m := &mortal{dieAt: step, after: after}
					_, err := state.Migrate(t.Context(), mortalStore{from, m, "source"}, mortalStore{to, m, "target"}, state.Holder{Who: "tester"})
					if m.calls < step {
						if err != nil {
							t.Fatal(err)
						}
						break
					}
					if !errors.Is(err, errKilled) {
						t.Fatalf("killed at %s: %v", m.names[step-1], err)
					}
					kills++
					if diff := cmp.Diff(want, archive(t, from)); diff != "" {
						t.Fatalf("killed at %s, the source differs:\n%s", m.names[step-1], diff)
					}
					switch there := archive(t, to); {
					case there.Serial == 0 && len(there.Records)+len(there.History)+len(there.Operations)+len(there.Outputs) == 0:
						empty++
					case cmp.Diff(want, there) == "":
						whole++
					default:
						t.Fatalf("killed at %s, the target is neither empty nor whole: %+v", m.names[step-1], there)
					}
					buried(t, from)
					buried(t, to)
					report, err := state.Migrate(t.Context(), from, to, state.Holder{Who: "tester"})
					if err != nil || report.Records != 20 || report.Revisions != 40 || report.Operations != 1 || report.Outputs != 1 {
						t.Fatalf("killed at %s, and done again: %+v, %v", m.names[step-1], report, err)
					}
					if diff := cmp.Diff(want, archive(t, to)); diff != "" {
						t.Fatalf("done again (-want +got):\n%s", diff)
					}
				}
			}
			statetest.Numbers(t, "%d kills: the target was empty after %d and whole after %d, half written after 0", kills, empty, whole)
			if kills < 10 || empty == 0 || whole == 0 {
				t.Error("the kills did not reach what they should")
			}
		})
	}
}

func TestMigrateAgain(t *testing.T) {
	from, to := memory.New(), memory.New()
	filled(t, from)
	first, err := state.Migrate(t.Context(), from, to, state.Holder{})
	if err != nil || first.Already || first.Serial != 12 || first.Lineage != "shop" {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := state.Migrate(t.Context(), from, to, state.Holder{})
	if err != nil || !second.Already || second.Records != 20 {
		t.Errorf("done twice: %+v, %v", second, err)
	}
	// The source goes on, and is migrated again.
	withLease(t, from, func(l state.Lease) error { _, err := l.Commit(t.Context(), put("build.oci.new")); return err })
	if third, err := state.Migrate(t.Context(), from, to, state.Holder{}); err != nil || third.Records != 21 {
		t.Errorf("%+v, %v", third, err)
	}
}

func TestMigrateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, from, to *memory.Store)
		want    string
	}{
		"another stack's target": {func(t *testing.T, _, to *memory.Store) {
			withLease(t, to, func(l state.Lease) error { _, err := l.Commit(t.Context(), put("x")); return err })
		}, "the state of another stack"},
		"a later target": {func(t *testing.T, from, to *memory.Store) {
			if _, err := state.Migrate(t.Context(), from, to, state.Holder{}); err != nil {
				t.Fatal(err)
			}
			withLease(t, to, func(l state.Lease) error { _, err := l.Commit(t.Context(), put("x")); return err })
		}, "a later state of this stack (serial 13; the state to migrate has serial 12)"},
		"a target that went its own way": {func(t *testing.T, from, to *memory.Store) {
			if _, err := state.Migrate(t.Context(), from, to, state.Holder{}); err != nil {
				t.Fatal(err)
			}
			withLease(t, to, func(l state.Lease) error { _, err := l.Commit(t.Context(), put("x")); return err })
			withLease(t, from, func(l state.Lease) error { _, err := l.Commit(t.Context(), put("y")); return err })
		}, "another state of this stack with the same serial"},
		"a damaged record":    {func(_ *testing.T, from, _ *memory.Store) { from.Damage("record", "build.oci.r7", 0) }, `["build.oci.r7"]`},
		"a source in use":     {func(t *testing.T, from, _ *memory.Store) { hold(t, from) }, "to migrate from: the state is locked by holder@host"},
		"a target in use":     {func(t *testing.T, _, to *memory.Store) { hold(t, to) }, "to migrate to: the state is locked by holder@host"},
		"a newer target":      {func(_ *testing.T, _, to *memory.Store) { to.SetFormat(state.Format + 1) }, "use a newer davit"},
		"a newer source":      {func(_ *testing.T, from, _ *memory.Store) { from.SetFormat(state.Format + 1) }, "use a newer davit"},
		"a damaged operation": {func(_ *testing.T, from, _ *memory.Store) { from.Damage("operation", "op", 0) }, `["operation op"]`},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := memory.New(), memory.New()
			filled(t, from)
			c.prepare(t, from, to)
			_, err := state.Migrate(t.Context(), from, to, state.Holder{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func hold(t *testing.T, s state.Store) {
	t.Helper()
	if _, err := s.Lock(t.Context(), state.Holder{Who: "holder@host"}); err != nil {
		t.Fatal(err)
	}
}

// A damaged revision does not hold a migration up; it is named.
func TestMigrateLeavesDamagedRevisions(t *testing.T) {
	from, to := memory.New(), memory.New()
	filled(t, from)
	from.Damage("revision", "build.oci.r7", 3)
	report, err := state.Migrate(t.Context(), from, to, state.Holder{})
	if err != nil || report.Revisions != 39 || len(report.LeftBehind) != 1 || report.LeftBehind[0] != "revision 3 of build.oci.r7" {
		t.Errorf("%+v, %v", report, err)
	}
	if again, err := state.Migrate(t.Context(), from, to, state.Holder{}); err != nil || !again.Already {
		t.Errorf("done again: %+v, %v", again, err)
	}
}

// An empty state migrates into nothing, and a target that reads back something else is found out.
func TestMigrateEmptyAndLying(t *testing.T) {
	if report, err := state.Migrate(t.Context(), memory.New(), memory.New(), state.Holder{}); err != nil || report.Serial != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	for name, lie := range map[string]func(*state.Archive){
		"the record build.oci.r3 is missing":     func(a *state.Archive) { delete(a.Records, "build.oci.r3") },
		"the record build.oci.r3 differs":        func(a *state.Archive) { a.Records["build.oci.r3"] = state.Record{Address: "build.oci.r3"} },
		"the record new was not written":         func(a *state.Archive) { a.Records["new"] = state.Record{} },
		"the operation op is missing":            func(a *state.Archive) { clear(a.Operations) },
		"the output o is missing":                func(a *state.Archive) { clear(a.Outputs) },
		"the revision 3 of build.oci.r0 differs": func(a *state.Archive) { a.History[1].Who = "x" },
		"lineage shop and serial 12 became":      func(a *state.Archive) { a.Serial++ },
		"are damaged":                            func(a *state.Archive) { a.Damaged = []string{"x"} },
	} {
		from := memory.New()
		filled(t, from)
		_, err := state.Migrate(t.Context(), from, lying{memory.New(), lie}, state.Holder{})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "keep the old one") {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

type lying struct {
	state.Store
	lie func(*state.Archive)
}

func (l lying) Archive(ctx context.Context) (*state.Archive, error) {
	a, err := l.Store.Archive(ctx)
	if err == nil && a.Serial > 0 {
		a.Records = maps.Clone(a.Records)
		l.lie(a)
	}
	return a, err
}
