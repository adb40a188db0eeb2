package sdk_test

import (
	"context"
	"fmt"

	"github.com/davit-sh/davit/sdk"
)

// packer is a build whose registry is a map from a tag to a digest.
type packer struct{ pushed map[string]string }

type packerConfig struct {
	Repository string `davit:"repository" doc:"Where to push, without a tag."`
	Tag        string `davit:"tag" doc:"Tag to push under."`
	Text       string `davit:"text" doc:"What is packed."`
}

type (
	packerPlanRequest = sdk.PlanRequest[packerConfig, sdk.BuildOutputs]
	packerPlan        = sdk.PlanResult[sdk.BuildOutputs]
	packerResult      = sdk.Result[sdk.BuildOutputs]
)

// Plan compares the content with what the registry has. The digest is known after the build only.
func (p packer) Plan(_ context.Context, r packerPlanRequest) (packerPlan, error) {
	c := r.Config
	if r.Destroy {
		return packerPlan{Action: sdk.ActionDelete, Causes: []sdk.Cause{sdk.CauseRemoved}}, nil
	}
	res := packerPlan{Claims: []sdk.Claim{sdk.ImageClaim(c.Repository, c.Tag)}}
	if r.Prior != nil && r.Prior.Outputs.Key == c.Text {
		res.Action, res.Outputs = sdk.ActionNone, r.Prior.Outputs
		return res, nil
	}
	res.Action, res.Causes, res.Reasons = sdk.ActionBuild, []sdk.Cause{sdk.CauseSource}, []string{"the text changed"}
	if r.Prior == nil {
		res.Causes, res.Reasons = []sdk.Cause{sdk.CauseNew}, []string{"it has not been built before"}
	}
	res.Outputs = sdk.BuildOutputs{
		Repository: c.Repository, Tag: c.Tag, Key: c.Text,
		Digest: sdk.UnknownPrefix("sha256:"), Ref: sdk.UnknownPrefix(c.Repository + ":" + c.Tag + "@sha256:"),
	}
	return res, nil
}

// Apply pushes. The outputs are those of the plan with the unknown ones filled in.
func (p packer) Apply(ctx context.Context, r sdk.ApplyRequest[packerConfig, sdk.BuildOutputs]) (packerResult, error) {
	out, digest := r.Planned, fmt.Sprintf("sha256:%x", r.Config.Text)
	p.pushed[r.Config.Tag] = digest
	out.Digest, out.Ref = sdk.Known(digest), sdk.Known(out.Repository+":"+out.Tag+"@"+digest)
	return packerResult{Outputs: out}, sdk.Save(ctx, packerResult{Outputs: out})
}

// Destroy deletes the tag, unless another instance takes it over in the same apply.
func (p packer) Destroy(_ context.Context, r sdk.DestroyRequest[packerConfig, sdk.BuildOutputs]) error {
	for _, claim := range r.Transferred {
		if claim == sdk.ImageClaim(r.Prior.Outputs.Repository, r.Prior.Outputs.Tag) {
			return nil
		}
	}
	delete(p.pushed, r.Prior.Outputs.Tag)
	return nil
}

func ExampleBuild() {
	p := packer{pushed: map[string]string{}}
	t := sdk.Build("packer", p)
	fmt.Println(t.Kind(), t.Name())

	var call sdk.TestCall
	ctx := call.Context(context.Background())
	c := packerConfig{Repository: "registry.example.com/api", Tag: "1", Text: "hi"}
	plan, _ := p.Plan(ctx, packerPlanRequest{Config: c})
	fmt.Println(plan.Action, plan.Causes, plan.Reasons, plan.Claims)
	fmt.Println(plan.Outputs.Ref)
	made, err := p.Apply(ctx, sdk.ApplyRequest[packerConfig, sdk.BuildOutputs]{Action: plan.Action, Config: c, Planned: plan.Outputs})
	fmt.Println(made.Outputs.Ref, err)
	prior := sdk.Record[packerConfig, sdk.BuildOutputs]{Config: c, Outputs: made.Outputs}
	again, _ := p.Plan(ctx, packerPlanRequest{Config: c, Prior: &prior})
	fmt.Println(again.Action)
	// Output:
	// build packer
	// build [new] [it has not been built before] [image:registry.example.com/api:1]
	// registry.example.com/api:1@sha256:(known after apply)
	// registry.example.com/api:1@sha256:6869 <nil>
	// none
}

// notes is an application whose objects are lines in a map, by the path of a file.
type notes struct{ files map[string]string }

type notesConfig struct {
	Path string            `davit:"path" doc:"Absolute path of the file."`
	Text sdk.Value[string] `davit:"text" doc:"What is in it. It may be known after apply only."`
}

type (
	notesPlan   = sdk.PlanResult[sdk.ApplicationOutputs]
	notesResult = sdk.Result[sdk.ApplicationOutputs]
)

func (n notes) Plan(_ context.Context, r sdk.PlanRequest[notesConfig, sdk.ApplicationOutputs]) (notesPlan, error) {
	claim := sdk.FileClaim(r.Config.Path)
	if r.Destroy {
		item := sdk.Item{Key: r.Config.Path, Kind: "file", Name: r.Config.Path, Action: sdk.ActionDelete, Claim: claim}
		return notesPlan{Action: sdk.ActionDelete, Causes: []sdk.Cause{sdk.CauseRemoved}, Items: []sdk.Item{item}}, nil
	}
	res := notesPlan{Claims: []sdk.Claim{claim}, Outputs: sdk.ApplicationOutputs{Revision: "1", Health: sdk.Known("Current"), Items: []string{r.Config.Path}}}
	before, there := n.files[r.Config.Path]
	after, known := r.Config.Text.Get()
	field := sdk.Field{Path: "text", Before: before, After: after, Unknown: !known, Prefix: r.Config.Text.Prefix()}
	switch {
	case !there:
		res.Action, res.Causes, field.Before = sdk.ActionCreate, []sdk.Cause{sdk.CauseNew}, nil
	case known && before == after:
		res.Action = sdk.ActionNone
		return res, nil
	default:
		res.Action, res.Causes = sdk.ActionUpdate, []sdk.Cause{sdk.CauseConfig}
	}
	res.Items = []sdk.Item{{Key: r.Config.Path, Kind: "file", Name: r.Config.Path, Action: res.Action, Fields: []sdk.Field{field}, Claim: claim}}
	return res, nil
}

func (n notes) Apply(_ context.Context, r sdk.ApplyRequest[notesConfig, sdk.ApplicationOutputs]) (notesResult, error) {
	n.files[r.Config.Path] = r.Config.Text.OrZero()
	return notesResult{Outputs: r.Planned}, nil
}

func (n notes) Destroy(_ context.Context, r sdk.DestroyRequest[notesConfig, sdk.ApplicationOutputs]) error {
	delete(n.files, r.Prior.Config.Path)
	return nil
}

func ExampleApplication() {
	n := notes{files: map[string]string{}}
	t := sdk.Application("notes", n)
	fmt.Println(t.Kind(), t.Name())

	ctx := context.Background()
	c := notesConfig{Path: "/srv/note", Text: sdk.UnknownPrefix("registry.example.com/api:1@")}
	plan, _ := n.Plan(ctx, sdk.PlanRequest[notesConfig, sdk.ApplicationOutputs]{Config: c})
	fmt.Println(plan.Action, plan.Causes, plan.Claims, c.Text)

	// At apply everything is known.
	c.Text = sdk.Known("registry.example.com/api:1@sha256:aa")
	made, err := n.Apply(ctx, sdk.ApplyRequest[notesConfig, sdk.ApplicationOutputs]{Action: plan.Action, Config: c, Planned: plan.Outputs})
	fmt.Println(made.Outputs.Items, err)
	again, _ := n.Plan(ctx, sdk.PlanRequest[notesConfig, sdk.ApplicationOutputs]{Config: c})
	fmt.Println(again.Action)
	// Output:
	// application notes
	// create [new] [file:/srv/note] registry.example.com/api:1@(known after apply)
	// [/srv/note] <nil>
	// none
}
