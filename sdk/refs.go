package sdk

// Tree is a folder of files in the content-addressed cache. Package tree reads it safely.
type Tree struct {
	Digest string `davit:"digest" doc:"Digest of the files, as algorithm:hex."`
	Path   string `davit:"path" doc:"Folder on this machine that holds the files."`
}

// SourceRef is how a configuration takes a whole source block: source = source.git.repo.
type SourceRef struct {
	Address  string `davit:"address"`
	Revision string `davit:"revision"`
	Time     string `davit:"time"` // RFC 3339
	Tree     Tree   `davit:"tree"`
}

// SourceOutputs are the outputs that every source has. Embed it in a source's outputs.
type SourceOutputs struct {
	Revision string `davit:"revision" doc:"Changes whenever the content changes."`
	Time     string `davit:"time" doc:"When the revision was made, RFC 3339."`
	Tree     Tree   `davit:"tree" doc:"The files."`
}

// ImageOutputs are the outputs that every image has. Embed it in an image's outputs.
type ImageOutputs struct {
	Repository string   `davit:"repository" doc:"The repository, without a tag."`
	Tags       []string `davit:"tags" doc:"All tags."`
}

// BuildOutputs are the outputs that every build has. Embed it in a build's outputs.
type BuildOutputs struct {
	Repository string        `davit:"repository" doc:"Where the result was pushed."`
	Tag        string        `davit:"tag" doc:"The pushed tag."`
	Digest     Value[string] `davit:"digest" doc:"Digest of the pushed index."`
	Ref        Value[string] `davit:"ref" doc:"repository:tag@digest."`
	Key        string        `davit:"key" doc:"Content key: same inputs, same key."`
	Platforms  []string      `davit:"platforms" doc:"Platforms of the pushed index."`
	Revision   string        `davit:"revision" doc:"Revision of the source that it was built from."`
}

// ApplicationOutputs are the outputs that every application has. Embed it in an application's outputs.
type ApplicationOutputs struct {
	Revision string        `davit:"revision" doc:"Revision of the source that is applied."`
	Health   Value[string] `davit:"health" doc:"Current, InProgress, Failed, Terminating, NotFound or Unknown: the words of kstatus."`
	Items    []string      `davit:"items" doc:"Keys of the objects."`
}
