package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strings"
	"testing"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

// No exported function, method, field or type of the package has a type of the protocol in it.
func TestNoProtobufInThePublicAPI(t *testing.T) {
	packages, err := parser.ParseDir(token.NewFileSet(), ".", func(i fs.FileInfo) bool { return !strings.HasSuffix(i.Name(), "_test.go") }, 0) //nolint:staticcheck // types are not needed
	if err != nil {
		t.Fatal(err)
	}
	exported := 0
	check := func(name string, n ast.Node) {
		if !ast.IsExported(name) {
			return
		}
		exported++
		ast.Inspect(n, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "pluginv1" || x.Name == "proto") {
					t.Errorf("%s has %s.%s in it", name, x.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
	for _, f := range packages["sdk"].Files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if receiver(d) == "" || ast.IsExported(receiver(d)) {
					check(d.Name.Name, d.Type)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok {
						check(ts.Name.Name, exportedPart(ts.Type))
					}
				}
			}
		}
	}
	if exported < 50 {
		t.Errorf("only %d exported names were looked at", exported)
	}
}

// receiver returns the name of a method's type, "" for a function.
func receiver(d *ast.FuncDecl) (name string) {
	if d.Recv == nil {
		return ""
	}
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if i, ok := n.(*ast.Ident); ok && name == "" {
			name = i.Name
		}
		return name == ""
	})
	return name
}

// exportedPart returns a struct with its exported fields only, an interface with its exported methods, and other types as they are.
func exportedPart(e ast.Expr) ast.Expr {
	keep := func(l *ast.FieldList) *ast.FieldList {
		return &ast.FieldList{List: slices.DeleteFunc(slices.Clone(l.List), func(f *ast.Field) bool {
			return len(f.Names) > 0 && !slices.ContainsFunc(f.Names, (*ast.Ident).IsExported)
		})}
	}
	switch e := e.(type) {
	case *ast.StructType:
		return &ast.StructType{Fields: keep(e.Fields)}
	case *ast.InterfaceType:
		return &ast.InterfaceType{Methods: keep(e.Methods)}
	}
	return e
}

func TestErrorsUnwrap(t *testing.T) {
	cause := errors.New("the disk is full")
	err := error(sdk.Errors{nil, {Summary: "first", Code: "a"}, {Summary: "second", Err: fmt.Errorf("writing: %w", cause)}})
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "a" {
		t.Errorf("errors.As finds %+v", e)
	}
	if !errors.Is(err, cause) {
		t.Error("errors.Is does not find the cause of the second")
	}
	if errors.Is(sdk.Errors{}, cause) {
		t.Error("no errors have a cause")
	}
	var none *sdk.Error
	if none.HintText() != "" || none.Unwrap() != nil || none.Error() == "" {
		t.Error("a nil Error is not safe to ask")
	}
}

func TestPath(t *testing.T) {
	images := sdk.At("images")
	one, two := images.Key("acme/api"), images.Key("acme/web")
	for want, p := range map[string]sdk.Path{
		"":                              nil,
		`images["acme/api"]`:            one,
		`images["acme/web"]`:            two,
		"rule[1].name":                  sdk.At("rule").Index(1).Attribute("name"),
		`layer[0].filter.labels["app"]`: sdk.At("layer").Index(0).Join(sdk.At("filter").Attribute("labels").Key("app")),
	} {
		if p.String() != want {
			t.Errorf("got %q, want %q", p, want)
		}
	}
}

func TestValueString(t *testing.T) {
	for want, v := range map[string]fmt.Stringer{
		"null": sdk.Value[string]{}, "x": sdk.Known("x"), "7": sdk.Known(7),
		"(known after apply)": sdk.Unknown[int](), "r/a:1@(known after apply)": sdk.UnknownPrefix("r/a:1@"),
	} {
		if got := fmt.Sprint(v); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Save without an operation is an error, not a silent success: in a plan, in a test without a TestCall, anywhere.
func TestSaveOutsideOfAnApply(t *testing.T) {
	if err := sdk.Save(context.Background(), sdk.Result[appOutputs]{}); err == nil {
		t.Error("outside of a call Save says that it has saved")
	}
	var inPlan error
	client := served(t, app{plan: func(ctx context.Context, _ sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		inPlan = sdk.Save(ctx, sdk.Result[appOutputs]{})
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionNone}, nil
	}})
	ask(t, client, request(t, client))
	if inPlan == nil {
		t.Error("in a plan Save says that it has saved")
	}
}

func request(t *testing.T, client pluginv1.PluginClient) *pluginv1.PlanRequest {
	t.Helper()
	return &pluginv1.PlanRequest{Config: encode(t, client, "application", "app", `{"name": "web"}`)}
}
