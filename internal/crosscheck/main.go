// Command crosscheck type-checks all packages of a module, with their tests, for other systems than this one. It compiles
// nothing: what a 32-bit int or a missing system call breaks is found from the sources alone, in seconds per system.
//
//	crosscheck -C DIR linux/arm/7 darwin/arm64 ...
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/tools/go/packages"
)

func main() {
	dir := flag.String("C", ".", "folder of the module")
	flag.Parse()
	failed := false
	for _, system := range flag.Args() {
		began := time.Now()
		n, errs := check(*dir, system)
		fmt.Printf("%-14s %d packages in %s\n", system, n, time.Since(began).Round(time.Second))
		for _, e := range errs {
			fmt.Fprintf(os.Stderr, "%s: %s\n", system, e)
		}
		failed = failed || len(errs) > 0 || n == 0
	}
	if failed {
		os.Exit(1)
	}
}

// check returns how many packages were checked for a system (os/arch, or linux/arm/7), and what is wrong with them.
func check(dir, system string) (int, []string) {
	parts := strings.Split(system, "/")
	if len(parts) < 2 {
		return 0, []string{"not os/arch"}
	}
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS="+parts[0], "GOARCH="+parts[1])
	if len(parts) == 3 {
		env = append(env, "GOARM="+parts[2])
	}
	list, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax, Dir: dir, Env: env, Tests: true}, "./...")
	if err != nil {
		return 0, []string{err.Error()}
	}
	var errs []string
	seen := map[string]bool{}
	packages.Visit(list, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			if text := e.Error(); !seen[text] {
				seen[text] = true
				errs = append(errs, text)
			}
		}
	})
	return len(list), errs
}
