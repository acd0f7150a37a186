package main

const usage = `Usage: tierload [flags]

Owns memory, accesses it in a known pattern, and prints one JSON line a second:
which node would serve how much of its accesses, and how good that could be.

The memory
  --size BYTES         how much to own (1GiB)
  --node N             where it starts (the kernel's choice)
  --huge on|off        transparent huge pages (off)

The pattern
  --pattern NAME       hotset, zipf, uniform, scan, phases or idle (hotset)
  --seed N             what is drawn at random (1)
  --piece BYTES        what the pattern scatters: 4KiB, 64KiB, 2MiB, … (2MiB)
  --hot BYTES          size of the hot set (96MiB)
  --hot-share F        share of the accesses that goes to it (0.9)
  --shift T,T,…        when the hot set becomes another one: 60s,120s
  --theta F            exponent of zipf (0.99)
  --scan-share F       share of the accesses that scans, in scan (0.1)
  --scan-stride BYTES  step of the scan (64B)
  --phase T            how long each hot set lasts, in phases (10s)
  --phases N           how many hot sets take turns, in phases (3)

The accesses
  --threads N          (1)
  --cpus N,N,…         the CPUs to run on (all)
  --write F            share of the accesses that write (0.3)
  --rate N             accesses a second of all threads; 0 is no limit (0)
  --duration T         how long; 0 is until SIGTERM (0)
  --ready-file PATH    create it when all memory is touched
  --start-file PATH    then wait until it exists

The report
  --capacity N=BYTES,… what the nodes can hold, fastest first: gives the oracle
  --fast N,N,…         the fast nodes (all of --capacity but the last)
  --samples N          pages asked about per line, at most (12288)
  --exact-every N      count resident exactly on every N-th line (0: never)
  --interval T         between lines (1s)
  --mmap-probe         measure the longest mmap, touch and munmap

Exit status: 0 done or ended by SIGTERM, 1 problem, 2 usage, 4 not permitted.
`
