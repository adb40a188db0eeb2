package baseimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/davit-sh/davit/acceptance/internal/process"
)

// debs maps architecture and package name to a downloaded .deb file.
type debs map[string]map[string]string

// download fetches the packages of all specs for all platforms. apt keeps its
// state below work, so that the machine's own package lists and the
// architectures it knows stay as they are.
func download(ctx context.Context, work string) (debs, error) {
	options, err := aptOptions(work)
	if err != nil {
		return nil, err
	}
	target := filepath.Join(work, "debs")
	if err := os.Mkdir(target, 0o755); err != nil {
		return nil, err
	}
	apt := func(args ...string) error {
		_, err := process.Run(ctx, process.Command{
			Name: "apt-get " + args[0],
			Args: append(append([]string{"apt-get"}, options...), args...),
			Dir:  target,
		})
		return err
	}
	// One source in many may fail to answer and hold nothing that is needed:
	// only a download that fails after it counts.
	updateErr := apt("update")
	if err := apt(append([]string{"download"}, wanted()...)...); err != nil {
		return nil, errors.Join(updateErr, err)
	}
	return collect(target)
}

func aptOptions(work string) ([]string, error) {
	state := filepath.Join(work, "apt")
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, dir), 0o755); err != nil {
			return nil, err
		}
	}
	status := filepath.Join(state, "status") // no package is installed here
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	settings := []string{
		"Dir::State=" + state,
		"Dir::State::status=" + status,
		"Dir::Cache=" + filepath.Join(state, "cache"),
		"APT::Sandbox::User=root",
		"APT::Architecture=" + platforms[0].debian,
		"Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"Acquire::Retries=3",
	}
	for _, p := range platforms {
		settings = append(settings, "APT::Architectures::="+p.debian)
	}
	options := []string{"-q"}
	for _, s := range settings {
		options = append(options, "-o", s)
	}
	return options, nil
}

func wanted() []string {
	var all []string
	seen := map[string]bool{}
	for _, s := range specs {
		for _, pkg := range s.Packages {
			for _, p := range platforms {
				if name := pkg + ":" + p.debian; !seen[name] {
					seen[name] = true
					all = append(all, name)
				}
			}
		}
	}
	return all
}

// collect reads the file names, which are PACKAGE_VERSION_ARCHITECTURE.deb.
func collect(dir string) (debs, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	found := debs{}
	for _, file := range files {
		parts := strings.Split(strings.TrimSuffix(filepath.Base(file), ".deb"), "_")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%s is not named like a Debian package", file)
		}
		pkg, arch := parts[0], parts[2]
		if found[arch] == nil {
			found[arch] = map[string]string{}
		}
		found[arch][pkg] = file
	}
	return found, nil
}

// busyboxApplets lists the commands that busybox stands in for.
func busyboxApplets(ctx context.Context) ([]string, error) {
	out, err := process.Run(ctx, process.Command{Name: "busybox", Args: []string{"busybox", "--list"}})
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(out)), nil
}
