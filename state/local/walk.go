package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// walkable looks whether the trees of the file end: in one that leads back to itself, because a page was damaged, the
// database would go round for ever. It looks at the pages themselves, whose form is bbolt's format 2: a header of 16
// bytes (number, flags, how many entries, how many more pages belong to it), then, in a branch, for each entry 16 bytes (where the
// key is, its length, the number of the page below), and in a leaf as many (flags, where the key is, the lengths of key and value).
// Numbers have the byte order of the machine. An entry that reached out of its page would have gigabytes read.
func (f *file) walkable() error {
	return f.db.View(func(tx *bbolt.Tx) error {
		w := walk{f: f.f, size: int64(f.db.Info().PageSize), end: uint64(tx.Size()), seen: map[uint64]bool{}} //nolint:gosec // sizes are positive
		if err := w.page(uint64(tx.Cursor().Bucket().Root())); err != nil {
			return err
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			if b == nil {
				return errors.New("the file is damaged: the list of its tables cannot be read; replace it by a backup")
			}
			if b.Root() == 0 { // it is inside the page that names it
				return nil
			}
			return w.page(uint64(b.Root()))
		})
	})
}

type walk struct {
	f    io.ReaderAt
	size int64 // of a page
	end  uint64
	seen map[uint64]bool
}

const (
	pageHeader = 16
	branchFlag = 0x01
)

// page looks at a page and those below it. No page is below two others, so there are no more steps than pages.
func (w *walk) page(number uint64) error {
	if number < 2 || number >= w.end/uint64(w.size) || w.seen[number] { //nolint:gosec // a size is positive
		return fmt.Errorf("the file is damaged: its page %d has an impossible position; replace it by a backup", number)
	}
	w.seen[number] = true
	at := int64(number) * w.size //nolint:gosec // it is less than the size of a file
	var header [pageHeader]byte
	if _, err := w.f.ReadAt(header[:], at); err != nil {
		return fmt.Errorf("the file is damaged: its page %d cannot be read: %w", number, err)
	}
	branch := binary.NativeEndian.Uint16(header[8:])&branchFlag != 0
	room := (uint64(binary.NativeEndian.Uint32(header[12:])) + 1) * uint64(w.size) //nolint:gosec // a size is positive
	entries := make([]byte, pageHeader*int(binary.NativeEndian.Uint16(header[10:])))
	if _, err := w.f.ReadAt(entries, at+pageHeader); err != nil {
		return fmt.Errorf("the file is damaged: its page %d cannot be read: %w", number, err)
	}
	for i := 0; i < len(entries); i += pageHeader {
		if uint64(pageHeader+i)+extent(entries[i:], branch) > room { //nolint:gosec // both are positive
			return fmt.Errorf("the file is damaged: its page %d has an entry that is larger than the page; replace it by a backup", number)
		}
		if !branch {
			continue
		}
		if err := w.page(binary.NativeEndian.Uint64(entries[i+8:])); err != nil {
			return err
		}
	}
	return nil
}

// extent is where an entry ends, from where its description begins: behind its key, and its value in a leaf.
func extent(entry []byte, branch bool) uint64 {
	number := func(at int) uint64 { return uint64(binary.NativeEndian.Uint32(entry[at:])) }
	if branch {
		return number(0) + number(4)
	}
	return number(4) + number(8) + number(12)
}
