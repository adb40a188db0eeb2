package objects

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/davit-sh/davit/state/internal/seal"
)

// entry is a value under a key. A nil value is a deleted key; an empty value cannot be read.
type entry struct {
	key   string
	value []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sealed(key string, v any) (entry, error) {
	b, err := seal.Seal(key, v)
	if err != nil {
		return entry{}, fmt.Errorf("%s: %w", key[2:], err)
	}
	return entry{key, b}, nil
}

func (e entry) unseal(into any) error { return seal.Open(e.key, e.value, into) }

// codec packs entries into a blob that can be cut anywhere and still tells what is missing:
//
//	magic, size and checksum of the directory, directory, frames, directory, size and checksum again, magic
//
// A frame is some entries' values, compressed together; the directory, compressed as well, has the
// frames' sizes and the entries' keys. It is there at both ends, so that what damage at one end hit
// can still be named.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

const (
	magic     = "davit-1\n"
	overhead  = len(magic) + 8 // and size and checksum
	frameSize = 16 << 10
	maxFrame  = 1 << 30
)

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10))
	if err != nil {
		return nil, err
	}
	// Values have checksums of their own, so the readable values of a damaged frame can be used.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxFrame), zstd.IgnoreChecksum(true), zstd.WithDecoderLowmem(true))
	return &codec{enc, dec}, err
}

func (c *codec) pack(entries []entry) []byte {
	var dir, frames, raw []byte
	var inFrame []entry
	count := 0
	end := func() {
		if len(inFrame) == 0 {
			return
		}
		before := len(frames)
		frames = c.enc.EncodeAll(raw, frames)
		dir = binary.AppendUvarint(dir, uint64(len(frames)-before))
		dir = binary.AppendUvarint(dir, uint64(len(inFrame)))
		for _, e := range inFrame {
			dir = binary.AppendUvarint(dir, uint64(len(e.key)))
			dir = append(dir, e.key...)
			size := uint64(0) // gone
			if e.value != nil {
				size = uint64(len(e.value)) + 1
			}
			dir = binary.AppendUvarint(dir, size)
		}
		raw, inFrame = raw[:0], inFrame[:0]
		count++
	}
	for _, e := range entries {
		raw, inFrame = append(raw, e.value...), append(inFrame, e)
		if len(raw) >= frameSize {
			end()
		}
	}
	end()
	packed := c.enc.EncodeAll(append(binary.AppendUvarint(nil, uint64(count)), dir...), nil)
	header := binary.BigEndian.AppendUint32(nil, uint32(len(packed)))
	header = binary.BigEndian.AppendUint32(header, crc32.Checksum(packed, castagnoli))
	return bytes.Join([][]byte{[]byte(magic), header, packed, frames, packed, header, []byte(magic)}, nil)
}

var errDirectory = errors.New("it is damaged, and so is its list of contents")

// unpack reads a blob. Unreadable values are empty.
func (c *codec) unpack(b []byte) ([]entry, error) {
	dir, err := c.directory(b)
	if err != nil {
		return nil, err
	}
	frames, r := b[min(len(b), overhead+dir.size):], dir.r
	var entries []entry
	for range r.number() {
		size := min(uint64(len(frames)), r.number())
		raw, _ := c.dec.DecodeAll(frames[:size], nil) // every value has a checksum of its own
		frames = frames[size:]
		at := uint64(0)
		for range r.number() {
			e := entry{key: string(r.bytes(r.number()))}
			length := r.number()
			if r.bad {
				return nil, errDirectory
			}
			if length > 0 {
				length--
				e.value = []byte{}
				if at <= uint64(len(raw)) && length <= uint64(len(raw))-at {
					e.value = raw[at : at+length : at+length]
				}
				at += length
			}
			entries = append(entries, e)
		}
	}
	if r.bad {
		return nil, errDirectory
	}
	return entries, nil
}

type directory struct {
	size int // as it is stored
	r    *reader
}

// directory finds the list of keys at one end or the other.
func (c *codec) directory(b []byte) (directory, error) {
	if len(b) < 2*overhead {
		return directory{}, errDirectory
	}
	first, last := b[len(magic):overhead], b[len(b)-overhead:len(b)-len(magic)]
	for i, header := range [][]byte{first, last} {
		size := uint64(binary.BigEndian.Uint32(header))
		if size > uint64(len(b)-2*overhead) {
			continue
		}
		packed := b[overhead : overhead+int(size)]
		if i == 1 {
			packed = b[len(b)-overhead-int(size) : len(b)-overhead]
		}
		if crc32.Checksum(packed, castagnoli) != binary.BigEndian.Uint32(header[4:]) {
			continue
		}
		if raw, err := c.dec.DecodeAll(packed, nil); err == nil {
			return directory{int(size), &reader{b: raw}}, nil
		}
	}
	return directory{}, errDirectory
}

// reader reads numbers and bytes. After the first that is not there all are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}
