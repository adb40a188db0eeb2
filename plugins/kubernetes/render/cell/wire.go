package cell

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/davit-sh/davit/plugins/kubernetes/render/load"
	"github.com/davit-sh/davit/sdk"
)

// A frame is its kind, the length of its payload in four bytes, big-endian, and the payload.
const (
	kindHello   = 'h' // worker: Confinement as JSON
	kindRequest = 'r' // host: request as JSON
	kindAsk     = 'a' // worker: ask as JSON
	kindInfo    = 'i' // host: info as JSON
	kindData    = 'd' // host: content of a file, after its info
	kindAnswer  = 'x' // worker: answer as JSON
)

// Limits of payloads. What comes from a worker may come from a stranger.
const (
	mostAsk    = 16 << 10
	mostHello  = 4 << 10
	mostAnswer = 96 << 20
	mostToHost = mostAnswer
	mostToCell = 64 << 20
)

func limitFromWorker(kind byte) int {
	switch kind {
	case kindHello:
		return mostHello
	case kindAsk:
		return mostAsk
	case kindAnswer:
		return mostAnswer
	}
	return -1
}

func limitFromHost(kind byte) int {
	switch kind {
	case kindRequest, kindInfo, kindData:
		return mostToCell
	}
	return -1
}

// request is one folder to render.
type request struct {
	load.Options
	Attempt string `json:"attempt,omitempty"` // tests only: see attempts
}

// ask is a question of a worker about the tree.
type ask struct {
	Op   string `json:"op"` // "stat", "list" or "open"
	Name string `json:"name"`
}

// info answers an ask.
type info struct {
	Error   string  `json:"error,omitempty"`
	Missing bool    `json:"missing,omitempty"`
	Mode    uint32  `json:"mode,omitempty"`
	Size    int64   `json:"size,omitempty"`
	Data    bool    `json:"data,omitempty"` // a frame with the content follows
	Entries []entry `json:"entries,omitempty"`
}

type entry struct {
	Name string `json:"name"`
	Mode uint32 `json:"mode"`
	Size int64  `json:"size"`
}

// answer is what a folder renders to.
type answer struct {
	Objects  []load.Object `json:"objects,omitempty"`
	Findings []finding     `json:"findings,omitempty"`
	Spent    bool          `json:"spent,omitempty"`
}

// finding is an sdk.Error about the path.
type finding struct {
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	Hint    string `json:"hint,omitempty"`
	Code    string `json:"code,omitempty"`
}

func findingsOf(err error) []finding {
	var many sdk.Errors
	var single *sdk.Error
	switch {
	case errors.As(err, &many):
	case errors.As(err, &single):
		many = sdk.Errors{single}
	default:
		return []finding{{Summary: err.Error()}}
	}
	all := make([]finding, 0, len(many))
	for _, e := range many {
		all = append(all, finding{Summary: e.Summary, Detail: e.Detail, Hint: e.Hint, Code: e.Code})
	}
	return all
}

const (
	mostFindings = 50
	mostText     = 1000 // bytes of one text of a finding
)

// err returns the findings as an error. They are cut: what is in them may come from a stranger.
func (a answer) err() error {
	if len(a.Findings) == 0 {
		return nil
	}
	var errs sdk.Errors
	for i, f := range a.Findings {
		if i == mostFindings {
			errs = append(errs, &sdk.Error{Summary: fmt.Sprintf("and %d more like these", len(a.Findings)-i), Code: f.Code, Path: sdk.At("path")})
			break
		}
		errs = append(errs, &sdk.Error{Summary: cut(f.Summary), Detail: cut(f.Detail), Hint: cut(f.Hint), Code: cut(f.Code), Path: sdk.At("path")})
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errs
}

// cut bounds a text and takes control characters out of it.
func cut(s string) string {
	if len(s) > mostText {
		s = s[:mostText] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	if len(payload) > mostToHost {
		return fmt.Errorf("%d bytes exceed the limit of a message", len(payload))
	}
	head := make([]byte, 5, 5+len(payload))
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload))) //nolint:gosec // it is below mostToHost
	_, err := w.Write(append(head, payload...))
	return err
}

func writeJSON(w io.Writer, kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, kind, payload)
}

// readFrame reads a frame. limit gives the most bytes of a kind, -1 for one that is not expected.
func readFrame(r io.Reader, limit func(kind byte) int) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length, most := int64(binary.BigEndian.Uint32(head[1:])), limit(head[0])
	if most < 0 || length > int64(most) {
		return 0, nil, fmt.Errorf("a message of kind %q with %d bytes is not expected", head[0], length)
	}
	// The buffer grows with what comes, not with what was promised.
	var b strings.Builder
	if _, err := io.CopyN(&b, r, length); err != nil {
		return 0, nil, err
	}
	return head[0], []byte(b.String()), nil
}

// parseAnswer reads a worker's answer. Its objects are checked: nothing that is no object comes out.
func parseAnswer(payload []byte) (answer, error) {
	var raw struct {
		Objects []struct {
			Object json.RawMessage `json:"object"`
			File   string          `json:"file"`
		} `json:"objects"`
		Findings []finding `json:"findings"`
		Spent    bool      `json:"spent"`
	}
	if err := json.Unmarshal(payload, &raw); err != nil {
		return answer{}, errors.New("the answer is invalid JSON")
	}
	a := answer{Findings: raw.Findings, Spent: raw.Spent}
	for _, o := range raw.Objects {
		object := load.Decode(o.Object)
		if !load.Applicable(object) {
			return answer{}, errors.New("the answer contains a value that is not an object")
		}
		a.Objects = append(a.Objects, load.Object{Object: object, File: cut(o.File)})
	}
	return a, nil
}
