package main

const helpRoot = `tierd keeps the hot memory of training jobs in fast memory tiers.

usage: tierd COMMAND [flags]

  run         run the daemon; it observes until its configuration says enforce
  status      show what the running daemon sees and does
  explain     say why memory lies where it does, and why it was moved or not
  record      write to a file what the running daemon sees
  replay      make the plans of a recording again, and compare them
  topo        draw this machine's memory: tiers, nodes, GPUs
  doctor      find out what works on this machine, and what to do about the rest
  check       find all problems of a configuration file
  simulate    try policies on a model of memory
  tune        propose values for [thrash] and [migrate]
  version     print the version
  completion  make completions for bash, zsh, fish or powershell

tierd COMMAND --help tells more. Answers go to stdout, all else to stderr.
Exit codes: 0 ok, 1 a problem was found, 2 usage, 3 daemon not reachable, 4 not permitted.
`

const helpRun = `Run the daemon in the foreground.

usage: tierd run [--config FILE] [--dry-run] [--debug]

      --config FILE   configuration (default /etc/tierd/tierd.toml, if it exists)
      --dry-run       observe, whatever the configuration says
      --debug         log more

SIGHUP reads the configuration again; the old one stays in force if the new one is bad.
SIGTERM and SIGINT stop at once. Logs go to stderr.
`

const helpTopo = `Draw this machine's memory: tiers, nodes, GPUs, and where each fact comes from.

usage: tierd topo [--config FILE] [--root DIR] [-o text|json]

      --config FILE   apply the overrides of this configuration
                      (default /etc/tierd/tierd.toml of the host, if it exists)
      --root DIR      read a copy of a host's /proc and /sys below DIR
  -o, --output FORMAT text or json

example: the node that each NVIDIA GPU hangs on
  tierd topo -o json | jq -r '.gpus[] | select(.vendor == "nvidia") | "\(.pci) \(.node)"'
`

const helpDoctor = `Find out what of tierd works on this machine, and what to do about the rest.

usage: tierd doctor [--config FILE] [--root DIR] [-o text|json]

      --config FILE   check this configuration (default /etc/tierd/tierd.toml of the host)
      --root DIR      read a copy of a host's /proc and /sys below DIR
  -o, --output FORMAT text or json

Exit code 1 if a probe fails; warnings and unknowns are no failures.
`

const helpStatus = `Show what the running daemon sees and does.

usage: tierd status [--socket PATH] [-o text|json]

      --socket PATH   control socket (default: that of /etc/tierd/tierd.toml,
                      else /run/tierd/tierd.sock)
  -o, --output FORMAT text or json
`

const helpExplain = `Say why memory lies where it does, and why it was moved or not.

usage: tierd explain [DECISION|WORKLOAD|PID|PID:ADDRESS] [-n N] [--socket PATH]
                     [-o text|json]

  DECISION            one decision, such as d-1042-7: what was compared, and what became of it
  WORKLOAD, PID       where its memory lies, where it belongs, and what holds it back
  PID:ADDRESS         the region of 2 MiB that an address (in hexadecimal) is in: the tests that it
                      went through, the rule that holds it, and what would have to change
                      (nothing: the last decisions)

  -n, --number N      how many decisions to list, up to 256 (default 20)
      --socket PATH   control socket (default: that of /etc/tierd/tierd.toml,
                      else /run/tierd/tierd.sock)
  -o, --output FORMAT text or json

The daemon remembers the last 4096 decisions. What it says of memory is what its policy says when
it decides next; what would have to change is tried before it is told.
Exit code 1 if there is no such decision, workload, process or region.
`

const helpRecord = `Write to a file what the running daemon's policy sees, for tierd replay.

usage: tierd record -o FILE|DIR [--for DURATION] [--size SIZE] [--socket PATH]

  -o, --output FILE   where to write; what is there is replaced. In a directory, files are added
                      as [record] does: the oldest are deleted when all take more than --size
      --size SIZE     of all files in a directory, such as 1GiB (default 256MiB)
      --for DURATION  for how long, such as 90s or 1h (default: until SIGINT or SIGTERM)
      --socket PATH   control socket (default: that of /etc/tierd/tierd.toml,
                      else /run/tierd/tierd.sock)

A recording has the addresses and the use of the memory of the processes that tierd watches,
their numbers and their workloads' names; nothing of what is in memory, no command lines, no
name of the host. It takes up to 1 MiB per hour and GiB of memory that is watched.
`

const helpReplay = `Make the plans of a recording again, and compare them with those that were recorded.

usage: tierd replay FILE|DIR [-o text|json]

  DIR is a directory of [record]; its segments are replayed in their order.
  -o, --output FORMAT text or json

It needs neither the daemon nor the machine that the recording comes from. Of a recording that
breaks off, what is whole is replayed, with a warning; in a directory, what comes after it is, too.
Exit code 1 if a plan is not as it was recorded.
`

const helpCheck = `Find all problems of a configuration file at once.

usage: tierd check FILE [--root DIR | --offline] [-o text|json]

      --root DIR      compare with a copy of a host's /proc and /sys below DIR
                      instead of this machine
      --offline       do not compare with any machine
  -o, --output FORMAT text or json

FILE may be - for stdin. Keys that are valid but have no effect in this version are warnings.
Exit code 1 if there is a problem.
`

const helpSimulate = `Try policies on a model of memory, and compare them side by side.

usage: tierd simulate FILE|DIR|--workload NAME [--policy FILE]... [--baselines] [--seeds N]
                      [--seconds S] [--picture FILE] [-o text|json]

A recording, or the segments of a ring in a directory, is simulated on the machine that it
was made on; where it breaks off, what comes before is.

      --workload NAME what happens to the memory; help lists the built-in ones
      --policy FILE   a configuration, of which [thrash], [migrate] rate and the budgets
                      of [sampler] count; may be repeated (default: tierd's defaults)
      --baselines     compare with other policies, too
      --seeds N       how many runs each number is the mean of (default 1)
      --seconds S     length of a run (default: the workload's own)
      --picture FILE  draw hit ratio and moved bytes over time, as a PNG
  -o, --output FORMAT text or json

example: is more certainty worth what it delays?
  tierd simulate --workload shift --policy /etc/tierd/tierd.toml --policy careful.toml
`

const helpTune = `Propose values for [thrash] and [migrate] rate, each with its effect and the evidence.

usage: tierd tune FILE|DIR|--workload NAME [--config FILE] [--samples N] [--refine N]
                  [--seeds N] [--seconds S] [-o text|json]
       tierd tune --from URL [--since DURATION] [--workload-name NAME] [--config FILE]
                  [-o text|json]

  FILE, DIR           a recording: values are tried on a model of what it has
      --workload NAME the same with a built-in workload (tierd simulate --workload help)
      --from URL      a Prometheus server that has tierd's metrics: rules say what to turn

      --config FILE   what to change (default /etc/tierd/tierd.toml, else the defaults)
      --samples N     how many sets of values are tried all over (default 60)
      --refine N      how many more near the best of them (default 24)
      --seeds N       how many runs each number is the mean of (default 4)
      --seconds S     length of a run (default: the recording's, or the workload's own)
      --since DURATION how far to look back, such as 12h or 7d (default 7d)
      --workload-name NAME  look at one workload (default: all)
  -o, --output FORMAT text or json

The answer ends with a difference that patch takes; nothing is written. A value is proposed only
if its gain is larger than what varies from run to run.

example: try it, then check it
  tierd tune --config /etc/tierd/tierd.toml incident.rec > tune.diff
  cp /etc/tierd/tierd.toml new.toml && patch new.toml tune.diff && tierd check new.toml
`

const helpVersion = `Print the version.

usage: tierd version [-o text|json]

  -o, --output FORMAT text or json
`

const helpCompletion = `Make completions for a shell.

usage: tierd completion bash|zsh|fish|powershell

  bash   tierd completion bash > /etc/bash_completion.d/tierd
  zsh    tierd completion zsh  > "${fpath[1]}/_tierd"
  fish   tierd completion fish > ~/.config/fish/completions/tierd.fish
`
