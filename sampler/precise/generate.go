package precise

// The object files are committed, so that building tierd needs only Go.
//
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -mcpu=v3" -target amd64,arm64 -type place -type hits sample bpf/precise.c
