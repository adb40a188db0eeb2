package mask

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
)

// Twins is how many twins a value with sensitive parts is compared with. What is the same for one pair of values by chance differs for another.
const Twins = 2

// Twin returns another value of the same type and form: a text of the same length with other letters and digits, so that what reads it as a
// number, as base64 or as a name still can; another number; the other truth. n counts from 1 to Twins.
func Twin(value any, n int) any {
	switch v := value.(type) {
	case string:
		return twinText(v, n)
	case bool:
		return !v
	case int:
		return v + n
	case int64:
		return v + int64(n)
	case float64:
		return v + float64(n)
	case json.Number:
		return twinNumber(v, n)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Twin(v[i], n)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = Twin(v[k], n)
		}
		return out
	}
	return value
}

func twinNumber(v json.Number, n int) json.Number {
	if i, err := v.Int64(); err == nil {
		return json.Number(strconv.FormatInt(i+int64(n), 10))
	}
	f, _ := v.Float64() // else it is no number, and stays what it is
	return json.Number(strconv.FormatFloat(f+float64(n), 'g', -1, 64))
}

// twinText moves each letter and digit on by some places in its alphabet.
func twinText(s string, n int) string {
	changed := false
	out := strings.Map(func(r rune) rune {
		moved := r
		switch {
		case 'a' <= r && r <= 'z':
			moved = 'a' + (r-'a'+rune(n))%26
		case 'A' <= r && r <= 'Z':
			moved = 'A' + (r-'A'+rune(n))%26
		case '0' <= r && r <= '8':
			moved = '1' + (r-'0'+rune(n)-1)%8 // never a zero, which may not begin a number
		case r == '9':
			moved = '9' - rune(n)
		case r > unicode.MaxASCII:
			moved = 'a' + rune(n)
		}
		changed = changed || moved != r
		return moved
	}, s)
	if !changed && s != "" {
		return strings.Repeat("x", n) + s
	}
	return out
}

// Replace returns a copy of a value in which the value at a path is its twin, and whether the path leads somewhere. Steps are keys and indexes.
func Replace(value any, path []any, n int) (any, bool) {
	if len(path) == 0 {
		return Twin(value, n), true
	}
	switch v := value.(type) {
	case map[string]any:
		key, ok := path[0].(string)
		inner, there := v[key]
		if !ok || !there {
			return value, false
		}
		changed, ok := Replace(inner, path[1:], n)
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = v[k]
		}
		out[key] = changed
		return out, ok
	case []any:
		i, ok := path[0].(int)
		if !ok || i < 0 || i >= len(v) {
			return value, false
		}
		changed, ok := Replace(v[i], path[1:], n)
		out := append([]any(nil), v...)
		out[i] = changed
		return out, ok
	}
	return value, false
}

// Message masks the words of a message that are others in its twin. A message whose words do not pair up is not shown.
func Message(real, twin string) string {
	if real == twin {
		return real
	}
	words, others := split(real), split(twin)
	if len(words) != len(others) {
		return "The reason depends on sensitive values, so it is not shown."
	}
	for i := range words {
		if words[i] != others[i] {
			words[i] = Text
		}
	}
	return strings.Join(words, "")
}

// split cuts a text into words and the spaces between them.
func split(text string) []string {
	var list []string
	start, space := 0, false
	for i, r := range text {
		if s := unicode.IsSpace(r); i > 0 && s != space {
			list = append(list, text[start:i])
			start = i
		}
		space = unicode.IsSpace(r)
	}
	return append(list, text[start:])
}
