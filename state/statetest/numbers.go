package statetest

import (
	"fmt"
	"os"
	"testing"
)

// NumbersVariable is the environment variable that names the file in which make test gathers the numbers of all tests.
const NumbersVariable = "DAVIT_NUMBERS"

// Numbers prints what a test has counted. go test shows what a test that passes prints only with -v, so that make test gathers
// it in a file and prints it at the end.
func Numbers(t testing.TB, format string, args ...any) {
	t.Helper()
	line := t.Name() + ": " + fmt.Sprintf(format, args...) + "\n"
	fmt.Print(line)
	file := os.Getenv(NumbersVariable)
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}
