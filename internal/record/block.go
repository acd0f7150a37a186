package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

var errTooLarge = errors.New("snapshot is too large to record")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Preamble is how a recording begins: the magic, the version, and a header.
func Preamble(h *Header) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	b := append([]byte(magic), Version, 0, 0, 0)
	return seal(b, kindHeader, text), nil
}

// seal appends a block.
func seal(b []byte, kind byte, content []byte) []byte {
	at := len(b)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	sum := crc32.Update(crc32.Checksum(b[at:], castagnoli), castagnoli, content)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, content...)
}

// parcel is a block as the loop hands it over: packing takes time that the loop
// does not have.
type parcel struct {
	header *Header // of a recording that begins here, if it is known
	frames int     // none: only a recording begins
	key    bool    // the first frame is a key frame
	lost   uint64  // frames just before
	raw    [streams][]byte
}

// size is how many bytes it takes before it is packed.
func (p *parcel) size() (n int) {
	for i := range p.raw {
		n += len(p.raw[i])
	}
	return n
}

// packer packs parcels.
type packer struct {
	zstd          *zstd.Encoder
	content, done []byte
}

// block is valid until the next call.
func (p *packer) block(of *parcel) ([]byte, error) {
	if p.zstd == nil {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(4<<20))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		p.zstd = z
	}
	c := binary.AppendUvarint(p.content[:0], uint64(of.frames))
	for _, s := range of.raw {
		if len(s) > maxRaw {
			return nil, errTooLarge
		}
		packed := p.zstd.EncodeAll(s, nil)
		c = binary.AppendUvarint(c, uint64(len(packed)))
		c = append(c, packed...)
	}
	if p.content = c; len(c) > maxBlock {
		return nil, errTooLarge
	}
	p.done = seal(p.done[:0], kindFrames, c)
	return p.done, nil
}

// parcel packs what is in a parcel, behind a preamble if there is a header. The
// result is valid until the next call.
func (p *packer) parcel(of *parcel, h *Header) (b []byte, err error) {
	if h != nil {
		if b, err = Preamble(h); err != nil {
			return nil, err
		}
	}
	if of.frames == 0 {
		return b, nil
	}
	block, err := p.block(of)
	if err != nil || b == nil {
		return block, err
	}
	return append(b, block...), nil
}

// unpacker is the other way round.
type unpacker struct{ zstd *zstd.Decoder }

func (u *unpacker) block(content []byte, to *[streams][]byte) (frames uint64, err error) {
	if u.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return 0, fmt.Errorf("zstd: %w", err)
		}
		u.zstd = z
	}
	frames, n := binary.Uvarint(content)
	if n <= 0 {
		return 0, errShort
	}
	content = content[n:]
	for i := range to {
		size, n := binary.Uvarint(content)
		if n <= 0 || size > uint64(len(content)-n) {
			return 0, errShort
		}
		packed := content[n : n+int(size)]
		if content = content[n+int(size):]; len(packed) == 0 {
			to[i] = to[i][:0]
			continue
		}
		if to[i], err = u.zstd.DecodeAll(packed, to[i][:0]); err != nil {
			return 0, fmt.Errorf("zstd: %w", err)
		}
	}
	if len(content) > 0 {
		return 0, errors.New("block has more than its streams")
	}
	return frames, nil
}
