package config

import "slices"

// Process is what this version knows of a process to select it by.
type Process struct {
	Comm   string // name, as the kernel keeps it: at most 15 bytes, without a line end
	Exe    string // path of the executable; empty where it cannot be read
	Cgroup string // path in the cgroup hierarchy, starting with "/"
	UID    uint32 // effective user
}

// Selectable reports whether this version can check every selector of the
// workload. A workload for which it cannot must be left alone: without the
// missing selector it would match more processes than its author asked for.
func (w *Workload) Selectable() bool {
	return !w.GPU && len(w.Unit) == 0 && len(w.Slice) == 0 && len(w.SlurmJob) == 0 &&
		len(w.K8sNamespace) == 0 && len(w.K8sPod) == 0
}

// Matches reports whether the process belongs to the workload: whether each
// selector holds. It is false for a workload that is not [Workload.Selectable].
func (w *Workload) Matches(p Process) bool { return w.Selectable() && w.mayMatch(p) }

// mayMatch checks the selectors that it can.
func (w *Workload) mayMatch(p Process) bool {
	comm := func(g Glob) bool { return g.Match(p.Comm) }
	exe := func(g PathGlob) bool { return g.Match(p.Exe) }
	cgroup := func(g Glob) bool { return g.Match(p.Cgroup) }
	return (len(w.Comm) == 0 || slices.ContainsFunc(w.Comm, comm)) &&
		(len(w.Exe) == 0 || slices.ContainsFunc(w.Exe, exe)) &&
		(len(w.Cgroup) == 0 || slices.ContainsFunc(w.Cgroup, cgroup)) &&
		(len(w.UID) == 0 || slices.Contains(w.UID, p.UID))
}

// WorkloadFor returns the workload that the process belongs to, nil if none.
// The first that matches wins. Where a workload that is not
// [Workload.Selectable] comes first and might match, the answer is nil as well:
// the process may not fall through to a later workload, of which its author
// wanted to keep it out.
func (c *Config) WorkloadFor(p Process) *Workload {
	for i := range c.Workloads {
		w := &c.Workloads[i]
		if w.mayMatch(p) {
			if !w.Selectable() {
				return nil
			}
			return w
		}
	}
	return nil
}
