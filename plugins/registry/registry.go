// Package registry is the built-in plugin "registry": what images there are in an OCI
// registry, and the policies that choose one of their tags.
package registry

import "github.com/davit-sh/davit/sdk"

// Plugin returns the plugin.
func Plugin(version string) *sdk.Plugin {
	return sdk.New("registry", version,
		sdk.Image("registry", &image{},
			sdk.Description("The tags of a repository in an OCI registry: all of them, or an error.")),
		sdk.Policy("semver", semverPolicy{},
			sdk.Description("Chooses the highest semantic version in a range.")),
		sdk.Policy("numerical", numericalPolicy{},
			sdk.Description("Chooses the highest or the lowest number.")),
		sdk.Policy("alphabetical", alphabeticalPolicy{},
			sdk.Description("Chooses the last or the first tag in alphabetical order.")),
		sdk.Policy("regex", regexPolicy{},
			sdk.Description("Chooses among the tags that match a regular expression, by a part of the tag.")),
		sdk.Policy("calver", calverPolicy{},
			sdk.Description("Chooses the latest calendar version.")),
		sdk.Policy("newest", newestPolicy{},
			sdk.Description("Chooses the image that was created last.")),
		sdk.Policy("digest", digestPolicy{},
			sdk.Description("Follows one tag that moves, such as \"latest\".")),
	)
}
