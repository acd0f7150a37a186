package hostfs

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxListID bounds the numbers in lists of nodes, CPUs and memory blocks, so that a
// damaged "0-4294967295" cannot ask for 32 GiB. 2^22 blocks of 128 MiB are 512 TiB.
const maxListID = 1 << 22

// clean drops what surrounds a value: blanks, the newline, and the NUL that kernels
// before 4.4 left at the end of some lists.
func clean(b []byte) []byte { return bytes.Trim(b, " \t\r\n\x00") }

// ParseList reads a list as the kernel prints nodes and CPUs (nodeN/cpulist, node/online,
// memory_tierN/nodelist): "0-1,4". An empty list is no error. The result is ascending and without repeats.
func ParseList(b []byte) ([]int, error) {
	b = clean(b)
	if len(b) == 0 {
		return nil, nil
	}
	var list []int
	for part := range bytes.SplitSeq(b, []byte(",")) {
		first, last, isRange := bytes.Cut(bytes.TrimSpace(part), []byte("-"))
		lo, ok := atoi(first)
		hi := lo
		if ok && isRange {
			hi, ok = atoi(last)
		}
		if !ok || hi < lo || hi > maxListID {
			return nil, fmt.Errorf("list %.40q: bad part %.40q", b, part)
		}
		if len(list)+hi-lo > maxListID {
			return nil, fmt.Errorf("list %.40q: too long", b)
		}
		for n := lo; n <= hi; n++ {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// FormatList writes an ascending list as the kernel does: "0-1,4".
func FormatList(list []int) string {
	var s strings.Builder
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if s.Len() > 0 {
			s.WriteByte(',')
		}
		s.WriteString(strconv.Itoa(list[i]))
		if j > i {
			s.WriteByte('-')
			s.WriteString(strconv.Itoa(list[j]))
		}
		i = j + 1
	}
	return s.String()
}

// ParseMask reads a mask as the kernel prints CPUs (nodeN/cpumap, local_cpus): groups of
// 32 bits in hexadecimal, the highest first, with commas between.
func ParseMask(b []byte) ([]int, error) {
	b = clean(b)
	groups := bytes.Split(b, []byte(","))
	if len(groups) > maxListID/32 {
		return nil, fmt.Errorf("mask %.40q: too long", b)
	}
	var list []int
	for i := range groups {
		g := groups[len(groups)-1-i]
		bits, err := strconv.ParseUint(string(g), 16, 32)
		if err != nil {
			return nil, fmt.Errorf("mask %.40q: bad group %.40q", b, g)
		}
		for bit := range 32 {
			if bits&(1<<bit) != 0 {
				list = append(list, 32*i+bit)
			}
		}
	}
	return list, nil
}

// ParseInts reads numbers between blanks, as in nodeN/distance.
func ParseInts(b []byte) ([]int, error) {
	fields := bytes.Fields(clean(b))
	if len(fields) == 0 {
		return nil, nil
	}
	list := make([]int, 0, len(fields))
	for _, f := range fields {
		n, ok := atoi(f)
		if !ok {
			return nil, fmt.Errorf("numbers: bad field %.40q", f)
		}
		list = append(list, n)
	}
	return list, nil
}

// ParseInt reads one decimal number with an optional sign, as in a device's numa_node.
func ParseInt(b []byte) (int, error) {
	n, err := strconv.Atoi(string(clean(b)))
	if err != nil {
		return 0, fmt.Errorf("number: bad value %.40q", b)
	}
	return n, nil
}

// ParseHex reads one hexadecimal number with or without "0x", as in a device's class and in block_size_bytes.
func ParseHex(b []byte) (uint64, error) {
	s := strings.TrimPrefix(string(clean(b)), "0x")
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("hexadecimal number: bad value %.40q", b)
	}
	return n, nil
}

// ParseBool reads a switch as kernel files write it: "true", "false", "1", "0", "Y", "N".
func ParseBool(b []byte) (bool, error) {
	switch string(clean(b)) {
	case "true", "1", "Y", "y", "on":
		return true, nil
	case "false", "0", "N", "n", "off":
		return false, nil
	}
	return false, fmt.Errorf("switch: bad value %.40q", b)
}

// ParseChoice reads the chosen word of files such as transparent_hugepage/enabled and lockdown:
// "always [madvise] never".
func ParseChoice(b []byte) (string, error) {
	_, rest, ok := bytes.Cut(b, []byte("["))
	word, _, closed := bytes.Cut(rest, []byte("]"))
	if !ok || !closed || len(word) == 0 {
		return "", fmt.Errorf("choice: nothing is chosen in %.60q", b)
	}
	return string(word), nil
}

// ParseWord reads a file of one line.
func ParseWord(b []byte) (string, error) { return string(clean(b)), nil }
