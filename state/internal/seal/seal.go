// Package seal is the stored form of one item of a state: its JSON after a checksum. The checksum
// covers the item's place as well, so that an item that turns up somewhere else is damaged too.
package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"

	jsonv2 "github.com/go-json-experiment/json"
)

// ErrDamaged reports an item that differs from the one written at its place.
var ErrDamaged = errors.New("its checksum does not hold")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal returns the stored form of v at a place: four bytes of checksum (CRC-32C of the place, a zero
// byte and the JSON; the high byte first), then the JSON.
func Seal(place string, v any) ([]byte, error) {
	var buf bytes.Buffer
	buf.Write(make([]byte, 4))
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // raw JSON in v stays as it came, but for white space
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	b := buf.Bytes()[:buf.Len()-1] // without the encoder's newline
	binary.BigEndian.PutUint32(b, sum(place, b[4:]))
	return b, nil
}

// Open decodes the stored form of an item that was sealed at the same place. It returns ErrDamaged, or
// the decoder's error; into is undefined then.
func Open(place string, b []byte, into any) error {
	if !Holds(place, b) {
		return ErrDamaged
	}
	return jsonv2.Unmarshal(b[4:], into)
}

// Sum returns the checksum that an item is stored with, whether it holds or not.
func Sum(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Holds returns whether the checksum of an item is right for its place.
func Holds(place string, b []byte) bool { return len(b) >= 4 && Sum(b) == sum(place, b[4:]) }

func sum(place string, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(append([]byte(place), 0), castagnoli), castagnoli, b)
}
