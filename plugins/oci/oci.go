// Package oci is the built-in plugin "oci": it packs files of a source as the layers of
// an image, for several platforms, without a daemon, and pushes it. The same files and
// settings give the same images to the digest, on any machine. It also reads files that are kept as
// artifacts in registries: source "oci".
package oci

import "github.com/davit-sh/davit/sdk"

// Plugin returns the plugin.
func Plugin(version string) *sdk.Plugin {
	return sdk.New("oci", version,
		sdk.Build("oci", builder{}, sdk.Description(
			"Packs files of a source as image layers, with or without a base image, for several platforms and "+
				"without a daemon. The image is built again only when its files, settings or base change.")),
		sdk.Source("oci", &artifact{}, sdk.Description(
			"Files of an OCI artifact, as pushed by davit module push, flux push artifact or helm push.")),
	)
}

// Config is the configuration of build "oci".
type Config struct {
	Source   sdk.SourceRef `davit:"source" doc:"Where the files come from."`
	Context  string        `davit:"context,optional" default:"." doc:"Folder in the source that the other paths are relative to."`
	Triggers []string      `davit:"triggers,optional" doc:"Patterns of files whose change causes a build. Without layer blocks, the matching files are also the packed ones. Default: the files of the layer blocks; without those, all files of the context."`

	To     string  `davit:"to,optional" doc:"Where the files go in the image when there are no layer blocks. Default: /app."`
	Layers []Layer `davit:"layer,block" doc:"A layer: its files and their place in the image. Without layer blocks, all trigger files go to \"to\"."`

	Base      string   `davit:"base,optional" doc:"Image that the layers are put on, resolved for each platform. Default: none."`
	Platforms []string `davit:"platforms,optional" doc:"Platforms as os/architecture[/variant]. Default: linux/amd64 and linux/arm64."`

	Repository string `davit:"repository" doc:"Where to push, without a tag."`
	Tag        string `davit:"tag" doc:"Tag to push under. A new tag alone causes no build: an existing image keeps its tag."`
	Insecure   bool   `davit:"insecure,optional" doc:"Allow plain HTTP to a registry on another machine."`
	Overwrite  bool   `davit:"overwrite,optional" doc:"Move the tag even if it points to another image."`

	Entrypoint []string          `davit:"entrypoint,optional" doc:"Command that the container runs."`
	Cmd        []string          `davit:"cmd,optional" doc:"Arguments of the entrypoint, or the command if entrypoint is not set."`
	Env        map[string]string `davit:"env,optional" doc:"Environment variables. Everybody who can pull the image can read them: use no secrets here."`
	Workdir    string            `davit:"workdir,optional" doc:"Working directory."`
	User       string            `davit:"user,optional" doc:"User, and group after a colon."`
	Labels     map[string]string `davit:"labels,optional" doc:"Labels of the image."`
	Ports      []string          `davit:"ports,optional" doc:"Ports that the container listens on: \"8080\" or \"53/udp\"."`

	DeleteOnDestroy bool `davit:"delete_on_destroy,optional" doc:"Delete the pushed tag when the build is destroyed. Default: the image stays in the registry, where others may use it."`
}

// Layer says which files go where.
type Layer struct {
	From      string   `davit:"from" doc:"Pattern of files in the context: \"dist/**\"."`
	To        string   `davit:"to" doc:"Folder in the image, from the root: \"/app\"."`
	Strip     string   `davit:"strip,optional" doc:"Leading folder to leave out: with \"dist\", dist/index.html becomes /app/index.html."`
	Mode      string   `davit:"mode,optional" doc:"Permissions of all files, octal. Default: 0755 for executable files, 0644 for others."`
	Platforms []string `davit:"platforms,optional" doc:"Platforms that have this layer. Default: all."`
}

// Outputs are the outputs of build "oci".
type Outputs struct {
	sdk.BuildOutputs
}

type builder struct{}
