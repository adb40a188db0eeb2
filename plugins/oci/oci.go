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
			"Packs files of a source as layers of an image, on a base image or on nothing, for several platforms and "+
				"without a daemon. It is built again only when its files, settings or base change.")),
		sdk.Source("oci", &artifact{}, sdk.Description(
			"Files that are kept as an artifact in a registry: what davit module push, flux push artifact or helm push have put there.")),
	)
}

// Config is the configuration of build "oci".
type Config struct {
	Source   sdk.SourceRef `davit:"source" doc:"Where the files come from."`
	Context  string        `davit:"context,optional" default:"." doc:"Folder in the source that the other paths are relative to."`
	Triggers []string      `davit:"triggers,optional" doc:"Patterns of files that cause a build when they change. Without layer blocks they are also what is packed. Default: the files that are packed, all of the context without layer blocks."`

	To     string  `davit:"to,optional" doc:"Where the files go in the image when there are no layer blocks. Default: /app."`
	Layers []Layer `davit:"layer,block" doc:"Which files go where. Each block is a layer; without one, all trigger files go to \"to\"."`

	Base      string   `davit:"base,optional" doc:"Image that the layers are put on, resolved for each platform. Default: none."`
	Platforms []string `davit:"platforms,optional" doc:"Platforms as os/architecture[/variant]. Default: linux/amd64 and linux/arm64."`

	Repository string `davit:"repository" doc:"Where to push, without a tag."`
	Tag        string `davit:"tag" doc:"Tag to push under. It is no reason to build: what was built before keeps its tag."`
	Insecure   bool   `davit:"insecure,optional" doc:"Allow plain HTTP to a registry on another machine."`
	Overwrite  bool   `davit:"overwrite,optional" doc:"Allow to move a tag that holds another image."`

	Entrypoint []string          `davit:"entrypoint,optional" doc:"Command that the container runs."`
	Cmd        []string          `davit:"cmd,optional" doc:"Its arguments, or the command if there is no entrypoint."`
	Env        map[string]string `davit:"env,optional" doc:"Environment variables. They are readable by all who can pull the image: no secrets."`
	Workdir    string            `davit:"workdir,optional" doc:"Working directory."`
	User       string            `davit:"user,optional" doc:"User, and group after a colon."`
	Labels     map[string]string `davit:"labels,optional" doc:"Labels of the image."`
	Ports      []string          `davit:"ports,optional" doc:"Ports that the container listens on: \"8080\" or \"53/udp\"."`

	DeleteOnDestroy bool `davit:"delete_on_destroy,optional" doc:"Delete the pushed tag when the build is destroyed. Else images stay in the registry, where others may run them."`
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
