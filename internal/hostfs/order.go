package hostfs

import "encoding/binary"

// hostOrder16 is a 16-bit number as the kernel lays it out for us.
func hostOrder16(a, b byte) uint16 { return binary.NativeEndian.Uint16([]byte{a, b}) }
