package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

const (
	// maxProblems bounds the report of a file that is something else altogether.
	maxProblems = 100
	// The TOML library recurses into nested values, and takes time and memory that
	// grow with the third power of the depth and with the length of whole keys.
	maxDepth = 16     // of names in a key and of lists, together; the deepest key has 4
	maxKey   = 256    // bytes of one name, as written
	maxKeys  = 20_000 // in a file; all tables with all keys have some 5000, without limits
)

// Parse reads a configuration. name is the file's name for messages. An error
// is of type [Problems] and holds all that is wrong, each with its place.
func Parse(name string, data []byte) (*Config, error) {
	// Byte order marks are not part of the first line.
	src := newSource(name, strings.TrimLeft(string(data), "\ufeff"))
	if p := src.refused(); p != nil {
		return nil, Problems{*p}
	}
	// Before the library, which it shields from texts that would take it too
	// long. The scanner reads the same structure as far as the text is valid, and
	// the library reads no further.
	root, stop := locate(src.text)
	if stop != nil {
		return nil, Problems{src.problem(span{stop.at, stop.at + 1}, "", "", stop.why, "")}
	}
	src.root = root
	tree, p := src.parse()
	if p != nil {
		return nil, Problems{*p}
	}

	d := &decoder{src: src, cfg: Default()}
	d.cfg.src = src
	d.table(src.root, tree, d.rules())
	d.finish()
	if err := d.problems.Err(); err != nil {
		sortProblems(d.problems)
		return nil, d.problems
	}
	sortProblems(d.cfg.notices)
	return d.cfg, nil
}

// refused says why a text is not even looked at; nil if it is.
func (s *source) refused() *Problem {
	message, hint := "", ""
	switch {
	case len(s.text) > MaxFileSize:
		message = "the file is larger than 1MiB"
	case strings.HasPrefix(s.text, "\xff\xfe") || strings.HasPrefix(s.text, "\xfe\xff"):
		message, hint = "the file is UTF-16", "save it as UTF-8"
	default:
		return nil
	}
	p := s.problem(span{0, 1}, "", "", message, hint)
	return &p
}

// parse runs the TOML library over the text.
func (s *source) parse() (tree map[string]any, problem *Problem) {
	defer func() {
		// The library panics where it finds a bug in itself. A daemon that
		// reloads its configuration must live on.
		if r := recover(); r != nil {
			p := s.problem(span{0, 1}, "", "", fmt.Sprintf("the TOML library gave up: %v", r), "")
			tree, problem = nil, &p
		}
	}()
	_, err := toml.Decode(s.text, &tree)
	if err == nil {
		return tree, nil
	}
	at, message := span{0, 1}, err.Error()
	var pe toml.ParseError
	if errors.As(err, &pe) {
		at = span{pe.Position.Start, pe.Position.Start + pe.Position.Len}
		message = pe.Message
	}
	// Some errors stand at the line end that they should have come before.
	if at.start >= len(s.text) || s.text[at.start] == '\n' {
		at = span{max(min(at.start, len(s.text))-1, 0), 0}
	}
	p := s.problem(at, "", "", lowerFirst(strings.TrimSuffix(message, ".")), "")
	p.Hint = syntaxHint(p)
	return nil, &p
}

// syntaxHint knows the mistakes that people make most.
func syntaxHint(p Problem) string {
	if strings.HasSuffix(p.Message, "has already been defined") {
		return "each key and each table stands once"
	}
	_, value, found := strings.Cut(p.source, "=")
	value, _, _ = strings.Cut(value, "#")
	if value = strings.TrimSpace(value); !found || value == "" || len(value) > 64 || strings.ContainsAny(value, "\"'[]{}\\") {
		return ""
	}
	return fmt.Sprintf("put the value in quotes: %q", value)
}

func lowerFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if strings.HasPrefix(s, "TOML") {
		return s
	}
	return string(unicode.ToLower(r)) + s[size:]
}

func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

func keyPath(path []string) string { return toml.Key(path).String() }

// rule says what a key is. Exactly one of table, each and value is set.
type rule struct {
	name  string
	table []rule                  // a table with these keys
	each  func(n *node) []rule    // a table of named tables; nil rules skip one
	value func(n *node, v any)    // a value
	later func() (message string) // not acted on yet; an empty message: as asked all the same
}

type decoder struct {
	src      *source
	cfg      *Config
	problems Problems

	tiers     []*Tier
	gpus      []*GPU
	workloads []*Workload
	globs     int
}

// rules is the shape of the file. Names are a contract with its authors.
func (d *decoder) rules() []rule {
	c := d.cfg
	s, m, t := &c.Sampler, &c.Migrate, &c.Thrash
	return []rule{
		{name: "mode", value: d.text(&c.Mode)},
		{name: "tier", each: d.tier},
		{name: "topology", table: []rule{
			{name: "gpu", each: d.gpu},
		}},
		{name: "workload", each: d.workload},
		{name: "sampler", table: []rule{
			{name: "source", value: d.sources},
			{name: "cpu_budget", value: d.text(&s.CPUBudget, func() *ValueError { return above(s.CPUBudget, 0) })},
			{name: "burst_budget", value: d.text(&s.BurstBudget, func() *ValueError { return above(s.BurstBudget, 0) })},
			{name: "detail_memory", value: d.text(&s.DetailMemory, func() *ValueError { return bound(s.DetailMemory, MiB, 64*GiB) })},
		}},
		{name: "migrate", table: []rule{
			{name: "rate", value: d.text(&m.Rate, func() *ValueError { return bound(m.Rate, Rate(MiB), Rate(TiB)) })},
			{name: "batch_latency", value: d.text(&m.BatchLatency, func() *ValueError {
				return bound(m.BatchLatency, Duration(time.Millisecond), Duration(time.Second))
			})},
		}},
		{name: "policy", table: []rule{
			{name: "split", value: d.boolean(&c.Policy.Split)},
		}},
		{name: "thrash", table: []rule{
			{name: "separation", value: d.number(&t.Separation, 2, 6)},
			{name: "payback", value: d.number(&t.Payback, 1, 100)},
			{name: "max_waste", value: d.text(&t.MaxWaste, func() *ValueError { return above(t.MaxWaste, 0) })},
			{name: "window", value: d.text(&t.Window, func() *ValueError {
				return bound(t.Window, Duration(time.Second), Duration(time.Hour))
			})},
			{name: "breaker", value: d.text(&t.Breaker, func() *ValueError { return above(t.Breaker, 0) })},
			{name: "psi", value: d.text(&t.PSI, func() *ValueError { return above(t.PSI, 0) })},
		}},
		{name: "metrics", table: []rule{
			{name: "listen", value: d.text(&c.Metrics.Listen)},
		}},
		{name: "control", table: []rule{
			{name: "socket", value: d.text(&c.Control.Socket)},
		}},
		{name: "record", table: []rule{
			{name: "dir", value: d.text(&c.Record.Dir)},
			{name: "size", value: d.text(&c.Record.Size, func() *ValueError { return bound(c.Record.Size, MiB, TiB) })},
			{name: "segment", value: d.text(&c.Record.Segment, func() *ValueError { return bound(c.Record.Segment, 256*KiB, TiB/4) })},
		}},
	}
}

// not makes the notice of a key whose effect this version does not have.
func not(effect string) func() string {
	return func() string { return "accepted, but this version does not " + effect + " yet" }
}

func above(p, lo Percent) *ValueError {
	if p <= lo {
		return valueErrorf("", "%v is not above %v", p, lo)
	}
	return nil
}

func (d *decoder) tier(n *node) []rule {
	if !d.name(n, "tier") || !d.room(n, len(d.tiers), MaxTiers, "tiers") {
		return nil
	}
	t := &Tier{Name: n.name, Reserve: DefaultReserve()}
	d.tiers = append(d.tiers, t)
	return []rule{
		{name: "nodes", value: d.text(&t.Nodes)},
		{name: "reserve", value: d.text(&t.Reserve, func() *ValueError {
			if t.Name == TierNone {
				return valueErrorf("leave the key out", "tierd puts nothing on nodes in no tier, so nothing is kept free there")
			}
			if t.Reserve.Share > 50*OnePercent {
				return valueErrorf("a reserve is memory that tierd never fills", "%v is above 50%%", t.Reserve.Share)
			}
			return nil
		})},
	}
}

func (d *decoder) gpu(n *node) []rule {
	if !d.room(n, len(d.gpus), MaxGPUs, "GPUs") {
		return nil
	}
	if !pciAddress(n.name) {
		hint := `say "0000:c1:00.0", as lspci -D writes it`
		if full := "0000:" + n.name; pciAddress(full) {
			hint = fmt.Sprintf("say %q", full)
		} else if lower := strings.ToLower(n.name); pciAddress(lower) {
			hint = fmt.Sprintf("say %q", lower)
		}
		d.report(n, n.key, fmt.Sprintf("%s is not a PCI address", quote(n.name)), hint)
		return nil
	}
	g := &GPU{Address: n.name, Node: -1}
	d.gpus = append(d.gpus, g)
	return []rule{{name: "node", value: func(n *node, v any) {
		if i, ok := d.integer(n, v, MaxNode, "a node number", "say 1"); ok {
			g.Node = int(i)
		}
	}}}
}

// pciAddress reports whether s is domain:bus:device.function as sysfs writes it.
func pciAddress(s string) bool {
	domain, rest, _ := strings.Cut(s, ":")
	bus, rest, _ := strings.Cut(rest, ":")
	device, function, _ := strings.Cut(rest, ".")
	hex := func(s string, least, most int) bool {
		return len(s) >= least && len(s) <= most && strings.Trim(s, "0123456789abcdef") == ""
	}
	return hex(domain, 4, 8) && hex(bus, 2, 2) && hex(device, 2, 2) && len(function) == 1 && function[0] >= '0' && function[0] <= '7'
}

func (d *decoder) workload(n *node) []rule {
	if !d.name(n, "workload") || !d.room(n, len(d.workloads), MaxWorkloads, "workloads") {
		return nil
	}
	if n.name == "other" {
		d.report(n, n.key, `"other" is the name that metrics give to what belongs to no workload`, "choose another name")
		return nil
	}
	w := &Workload{Name: n.name, Weight: 1}
	d.workloads = append(d.workloads, w)
	selector := func(key string) func() string {
		return func() string {
			return fmt.Sprintf("this version cannot select by %s yet, so it leaves every process alone that [workload.%s] might match",
				key, keyPath([]string{w.Name}))
		}
	}
	on := func(b *bool, message func() string) func() string {
		return func() string {
			if !*b {
				return "" // says what happens without it
			}
			return message()
		}
	}
	return []rule{
		{name: "mode", value: d.text(&w.Mode)},
		{name: "comm", value: texts(d, &w.Comm, checkComm)},
		{name: "exe", value: texts(d, &w.Exe, nil)},
		{name: "unit", value: texts(d, &w.Unit, nil), later: selector("unit")},
		{name: "slice", value: texts(d, &w.Slice, nil), later: selector("slice")},
		{name: "cgroup", value: texts(d, &w.Cgroup, checkCgroup)},
		{name: "slurm_job", value: texts(d, &w.SlurmJob, nil), later: selector("slurm_job")},
		{name: "k8s_namespace", value: texts(d, &w.K8sNamespace, nil), later: selector("k8s_namespace")},
		{name: "k8s_pod", value: texts(d, &w.K8sPod, nil), later: selector("k8s_pod")},
		{name: "uid", value: d.uids(&w.UID)},
		{name: "gpu", value: d.boolean(&w.GPU), later: on(&w.GPU, selector("gpu"))},
		{name: "near", value: d.text(&w.Near), later: not("prefer what is near")},
		{name: "shared", value: d.boolean(&w.Shared)},
		{name: "period", value: d.text(&w.Period)},
		{name: "weight", value: d.number(&w.Weight, 0.01, 100)},
		{name: "limit", each: nil, value: d.limits(w)},
	}
}

// selectors are the keys of a workload that choose processes.
func selectors() []string {
	return []string{"comm", "exe", "unit", "slice", "cgroup", "slurm_job", "k8s_namespace", "k8s_pod", "uid", "gpu"}
}

// checkComm rejects a pattern for names that no process has.
func checkComm(g Glob) *ValueError {
	const kept = 15 // TASK_COMM_LEN less the final NUL
	if g.shortest() > kept {
		hint := ""
		if !strings.ContainsAny(string(g), `*?[\`) {
			hint = fmt.Sprintf("say %q", strings.ToValidUTF8(string(g)[:kept], "")+"*")
		}
		return valueErrorf(hint, "%s matches no process: the kernel keeps %d bytes of a name", quote(string(g)), kept)
	}
	return nil
}

// checkCgroup rejects a pattern for paths that no cgroup has.
func checkCgroup(g Glob) *ValueError {
	if strings.IndexByte("/*?[\\", g[0]) < 0 {
		return valueErrorf(fmt.Sprintf("say %q", "/"+string(g)),
			"%s matches no cgroup: its path starts with a slash", quote(string(g)))
	}
	return nil
}

// finish does the checks that need more than one key.
func (d *decoder) finish() {
	c := d.cfg
	for _, t := range d.tiers {
		n := d.src.root.find("tier", t.Name)
		if n.kids["nodes"] == nil {
			d.report(n, n.key, "the tier has no nodes", `say nodes = "0"`)
		}
		for _, o := range d.tiers {
			if o == t {
				break
			}
			if both := t.Nodes.Intersect(o.Nodes); !both.Empty() {
				at := n.kids["nodes"]
				what := fmt.Sprintf("node %s is", both)
				if both.Len() > 1 {
					what = fmt.Sprintf("nodes %s are", both)
				}
				d.report(at, at.val, what+" already in "+keyPath([]string{"tier", o.Name}), "a node is in one tier only")
			}
		}
		c.Tiers = append(c.Tiers, *t)
	}
	for _, g := range d.gpus {
		n := d.src.root.find("topology", "gpu", g.Address)
		if n.kids["node"] == nil {
			d.report(n, n.key, "the table says nothing", "say node = 1")
		}
		c.GPUs = append(c.GPUs, *g)
	}
	for _, w := range d.workloads {
		n := d.src.root.find("workload", w.Name)
		if n.kids["mode"] == nil {
			w.Mode = c.Mode
		}
		selects := func(key string) bool {
			k := n.kids[key]
			return k != nil && (key != "gpu" || w.GPU || k.bad)
		}
		if !n.bad && !slices.ContainsFunc(selectors(), selects) {
			d.report(n, n.key, "the workload has no selector, so it would match every process",
				`to match every process say comm = ["*"]`)
		}
		d.checkLimits(n, w)
		c.Workloads = append(c.Workloads, *w)
	}
	d.checkBudgets()
	d.checkRecord()
}

// checkLimits rejects limits of tiers that are not in the file. Tiers that are
// discovered have names that are not known here.
func (d *decoder) checkLimits(n *node, w *Workload) {
	var names []string
	for _, t := range d.tiers {
		if t.Name != TierNone {
			names = append(names, t.Name)
		}
	}
	for _, l := range w.Limits {
		k := n.find("limit", l.Tier)
		switch {
		case l.Tier == TierNone:
			d.report(k, k.key, `"none" is no tier: tierd puts nothing on its nodes`, "leave the limit out")
		case len(names) > 0 && !slices.Contains(names, l.Tier):
			hint := "the tiers are " + oneOf(names)
			if near := nearest(l.Tier, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			d.report(k, k.key, fmt.Sprintf("there is no tier %s", quote(l.Tier)), hint)
		}
	}
}

func (d *decoder) checkBudgets() {
	s := &d.cfg.Sampler
	cpu, burst := d.src.root.find("sampler", "cpu_budget"), d.src.root.find("sampler", "burst_budget")
	switch {
	case cpu != nil && cpu.bad || burst != nil && burst.bad:
	case burst == nil:
		// Who allows more than the default does so because a page costs more to look at,
		// and after a start it does, too.
		d := Default().Sampler
		s.BurstBudget = max(d.BurstBudget, s.CPUBudget, min(s.CPUBudget*d.BurstBudget/d.CPUBudget, whole))
	case s.BurstBudget < s.CPUBudget:
		d.report(burst, burst.val, fmt.Sprintf("%v is below the cpu_budget of %v", s.BurstBudget, s.CPUBudget),
			"a burst may take at least as much as the rest of the time")
	}
}

// recordSegments is how many segments a ring has at least: when one goes, not too
// much is gone.
const recordSegments = 4

func (d *decoder) checkRecord() {
	r := &d.cfg.Record
	size, segment := d.src.root.find("record", "size"), d.src.root.find("record", "segment")
	switch most := r.Size / recordSegments; {
	case r.Segment <= most || size != nil && size.bad || segment != nil && segment.bad:
	case segment == nil:
		r.Segment = most // the default follows
	default:
		d.report(segment, segment.val, fmt.Sprintf("%v is above a quarter of the size of %v", r.Segment, r.Size),
			fmt.Sprintf("say %q, or leave the key out", most.String()))
	}
}

// report records a problem of a key; a problem beyond the bound is dropped
// after a last one that says so.
func (d *decoder) report(n *node, at span, message, hint string) {
	n.bad = true
	if len(d.problems) > maxProblems {
		return
	}
	path := n.path()
	key, label := path.String(), ""
	if len(path) > 0 {
		label = keyPath(path[len(path)-1:])
	}
	if n.kids != nil || len(path) > 1 && at == n.key {
		label = key // of a table: its last name alone says too little
	}
	if len(d.problems) == maxProblems {
		message, hint = "and more; the rest is not shown", ""
	}
	d.problems = append(d.problems, d.src.problem(at, key, label, message, hint))
}

// reject records that a value was refused by its type.
func (d *decoder) reject(n *node, err error) {
	var ve *ValueError
	if errors.As(err, &ve) {
		d.report(n, n.val, ve.Message, ve.Hint)
		return
	}
	d.report(n, n.val, err.Error(), "")
}

// table takes each key of a table to its rule.
func (d *decoder) table(n *node, v any, rules []rule) {
	m, ok := d.asTable(n, v, fmt.Sprintf("[%s]", n.path()))
	if !ok {
		return
	}
	for _, k := range d.children(n, m) {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.name == k.name })
		if i < 0 {
			d.unknown(k, rules)
			continue
		}
		r := rules[i]
		switch {
		case r.value != nil:
			r.value(k, m[k.name])
		case r.each != nil:
			d.named(k, m[k.name], r.each)
		default:
			d.table(k, m[k.name], r.table)
		}
		d.notice(k, r)
	}
}

// named goes through a table of named tables.
func (d *decoder) named(n *node, v any, each func(*node) []rule) {
	m, ok := d.asTable(n, v, fmt.Sprintf("[%s.NAME]", n.path()))
	if !ok {
		return
	}
	for _, k := range d.children(n, m) {
		if _, ok := d.asTable(k, m[k.name], fmt.Sprintf("[%s.NAME]", n.path())); !ok {
			continue
		}
		if rules := each(k); rules != nil {
			d.table(k, m[k.name], rules)
		}
	}
}

// children returns the keys of a table in the file's order. All of them: one
// that the scanner has not found stands where its table stands.
func (d *decoder) children(n *node, m map[string]any) []*node {
	var missed []string
	for name := range m {
		if n.kids[name] == nil {
			missed = append(missed, name)
		}
	}
	slices.Sort(missed)
	for _, name := range missed {
		n.child(name, n.key)
	}
	return slices.DeleteFunc(slices.Clone(n.order), func(k *node) bool {
		_, ok := m[k.name]
		return !ok
	})
}

func (d *decoder) notice(n *node, r rule) {
	if r.later == nil || n.bad {
		return
	}
	if message := r.later(); message != "" {
		d.warn(n, message)
	}
}

func (d *decoder) warn(n *node, message string) {
	p := d.src.problem(n.key, n.path().String(), n.path().String(), message, "")
	p.Severity = SeverityWarning
	d.cfg.notices = append(d.cfg.notices, p)
}

// unknown reports a key that no rule knows.
func (d *decoder) unknown(n *node, rules []rule) {
	if len(d.problems) > maxProblems {
		return // a hint takes time, and nobody will see it
	}
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	d.report(n, n.key, "unknown key", func() string {
		if near := nearest(n.name, names); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
		if home := homes(n.name); home != "" {
			return fmt.Sprintf("%s belongs %s", n.name, home)
		}
		return "the keys here are " + strings.Join(names, ", ")
	}())
}

// homes says in which tables a key of that name belongs.
func homes(name string) string {
	var tables []string
	for _, k := range Keys() {
		parent, last := "", k.Path
		if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
			parent, last = k.Path[:i], k.Path[i+1:]
		}
		if last != name {
			continue
		}
		if parent == "" {
			tables = append(tables, "at the top, before the first [table]")
		} else {
			tables = append(tables, "in ["+parent+"]")
		}
	}
	return strings.Join(tables, " or ")
}

// asTable returns v as a table, or reports what it is instead.
func (d *decoder) asTable(n *node, v any, write string) (map[string]any, bool) {
	switch m := v.(type) {
	case map[string]any:
		return m, true
	case []map[string]any:
		hint := fmt.Sprintf("write %s with single brackets", write)
		if strings.HasSuffix(write, ".NAME]") {
			hint = fmt.Sprintf("give each a name: %s", write)
		}
		d.report(n, n.key, fmt.Sprintf("[[%s]] is an array of tables", n.path()), hint)
	default:
		d.report(n, n.val, fmt.Sprintf("must be a table, not %s", kind(v)), fmt.Sprintf("write %s", write))
	}
	return nil, false
}

// name checks the name of a tier or a workload: it becomes a metric's label.
func (d *decoder) name(n *node, what string) bool {
	if n.name == "" || len(n.name) > MaxName ||
		strings.IndexFunc(n.name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.')
		}) >= 0 {
		d.report(n, n.key, fmt.Sprintf("%s is not a name for a %s", quote(n.name), what),
			fmt.Sprintf("use letters, digits, dots, dashes and underscores, at most %d", MaxName))
		return false
	}
	return true
}

// room reports the first entry that is one too many.
func (d *decoder) room(n *node, have, most int, what string) bool {
	if have < most {
		return true
	}
	if !n.parent.bad {
		d.report(n, n.key, fmt.Sprintf("more than %d %s", most, what), "")
		n.parent.bad = true
	}
	return false
}

// kind names the type of a TOML value.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	}
	return "a table"
}

// written returns the value as the file has it, for numbers.
func (d *decoder) written(n *node) string {
	return bounded(d.src.text[n.val.start:max(n.val.start, n.val.end)])
}

// example returns what a value type is called and one of its values.
func example(dst any) (noun, value string) {
	switch dst.(type) {
	case *Bytes:
		return "a size", "64GiB"
	case *Reserve:
		return "a share or a size", "2%"
	case *Rate:
		return "a rate", "1GiB/s"
	case *Percent:
		return "a share", "3%"
	case *NodeSet:
		return "a node list", "0-1,4"
	case *Duration:
		return "a duration", "20ms"
	case *Period:
		return "auto, off or a duration", "auto"
	case *Mode:
		return "a mode", "observe"
	case *Near:
		return "auto, gpu, cpu or a node list", "auto"
	case *Source:
		return "the name of a source", "page-table"
	case *ListenAddr:
		return "an address", "127.0.0.1:9417"
	case *SocketPath:
		return "a path", "/run/tierd/tierd.sock"
	case *DirPath:
		return "a path", "/var/lib/tierd/recordings"
	case *PathGlob:
		return "a pattern for a path", "/usr/bin/python3*"
	}
	return "a pattern", "python3*"
}

// text makes the decoding of a string into a value type, with further checks.
func (d *decoder) text(dst encoding.TextUnmarshaler, checks ...func() *ValueError) func(*node, any) {
	return func(n *node, v any) {
		if !d.decodeText(n, v, dst) {
			return
		}
		for _, check := range checks {
			if err := check(); err != nil {
				d.report(n, n.val, err.Message, err.Hint)
				return
			}
		}
	}
}

func (d *decoder) decodeText(n *node, v any, dst encoding.TextUnmarshaler) bool {
	noun, say := example(dst)
	switch v := v.(type) {
	case string:
		if err := dst.UnmarshalText([]byte(v)); err != nil {
			d.reject(n, err)
			return false
		}
		return true
	case int64, float64:
		// Most of these lack their unit, and the type knows what to say then.
		if err := dst.UnmarshalText([]byte(d.written(n))); err != nil {
			d.reject(n, err)
			return false
		}
		d.report(n, n.val, fmt.Sprintf("must be %s in quotes", noun), fmt.Sprintf("say %q", d.written(n)))
	default:
		d.report(n, n.val, fmt.Sprintf("must be %s, not %s", noun, kind(v)), fmt.Sprintf("say %q", say))
	}
	return false
}

// elements returns the elements of a list, or of a value that stands for a
// list of one.
func (d *decoder) elements(n *node, v any, noun string) ([]*node, []any) {
	list, ok := v.([]any)
	if !ok {
		return []*node{n}, []any{v}
	}
	if len(list) == 0 {
		d.report(n, n.val, "the list is empty", fmt.Sprintf("leave the key out, or name %s", noun))
	}
	nodes := slices.Clone(n.elems)
	for len(nodes) < len(list) {
		nodes = append(nodes, n)
	}
	return nodes, list
}

// texts makes the decoding of a list of strings, or of one string.
func texts[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](d *decoder, dst *[]T, check func(T) *ValueError) func(*node, any) {
	return func(n *node, v any) {
		noun, _ := example(P(new(T)))
		nodes, list := d.elements(n, v, noun)
		for i, v := range list {
			var item T
			at := nodes[i]
			if !d.countGlob(at) {
				n.bad = true
				return
			}
			if d.decodeText(at, v, P(&item)) && check != nil {
				if err := check(item); err != nil {
					d.report(at, at.val, err.Message, err.Hint)
				}
			}
			n.bad = n.bad || at.bad
			*dst = append(*dst, item)
		}
	}
}

func (d *decoder) countGlob(at *node) bool {
	d.globs++
	if d.globs == MaxGlobs+1 {
		d.report(at, at.val, fmt.Sprintf("more than %d selector values in the file", MaxGlobs), "")
	}
	return d.globs <= MaxGlobs
}

func (d *decoder) uids(dst *[]uint32) func(*node, any) {
	return func(n *node, v any) {
		nodes, list := d.elements(n, v, "a user number")
		for i, v := range list {
			at := nodes[i]
			if !d.countGlob(at) {
				n.bad = true
				return
			}
			// The highest stands for "no user" in the kernel's interfaces.
			id, ok := d.integer(at, v, math.MaxUint32-1, "a user number", "say the number that id -u NAME prints")
			n.bad = n.bad || !ok
			*dst = append(*dst, uint32(id))
		}
	}
}

// integer decodes a whole number from 0 to most. hint is for what is no number.
func (d *decoder) integer(n *node, v any, most int64, noun, hint string) (int64, bool) {
	i, ok := v.(int64)
	switch {
	case !ok:
		if s, isText := v.(string); isText {
			if i, err := strconv.ParseInt(s, 10, 64); err == nil && i >= 0 && i <= most {
				hint = fmt.Sprintf("say %d, without quotes", i)
			}
		}
		d.report(n, n.val, fmt.Sprintf("must be %s, not %s", noun, kind(v)), hint)
	case i < 0:
		d.report(n, n.val, fmt.Sprintf("%d is negative", i), "")
	case i > most:
		d.report(n, n.val, fmt.Sprintf("%d is above %d", i, most), "")
	default:
		return i, true
	}
	return 0, false
}

// number makes the decoding of a number from lo to hi.
func (d *decoder) number(dst *float64, lo, hi float64) func(*node, any) {
	return func(n *node, v any) {
		var f float64
		switch v := v.(type) {
		case int64:
			f = float64(v)
		case float64:
			f = v
		default:
			hint := fmt.Sprintf("say %v", *dst)
			if s, isText := v.(string); isText {
				if f, err := strconv.ParseFloat(s, 64); err == nil && f >= lo && f <= hi {
					hint = fmt.Sprintf("say %v, without quotes", f)
				}
			}
			d.report(n, n.val, fmt.Sprintf("must be a number, not %s", kind(v)), hint)
			return
		}
		if math.IsNaN(f) {
			d.report(n, n.val, "must be a number, not nan", fmt.Sprintf("the range is %v to %v", lo, hi))
			return
		}
		if err := bound(f, lo, hi); err != nil {
			d.report(n, n.val, err.Message, err.Hint)
			return
		}
		*dst = f
	}
}

func (d *decoder) boolean(dst *bool) func(*node, any) {
	return func(n *node, v any) {
		b, ok := v.(bool)
		if !ok {
			hint := "say true or false"
			if s, isText := v.(string); isText && (s == "true" || s == "false") {
				hint = fmt.Sprintf("say %s, without quotes", s)
			}
			d.report(n, n.val, fmt.Sprintf("must be true or false, not %s", kind(v)), hint)
			return
		}
		*dst = b
	}
}

func (d *decoder) limits(w *Workload) func(*node, any) {
	return func(n *node, v any) {
		m, ok := d.asTable(n, v, fmt.Sprintf("[%s]", n.path()))
		if !ok {
			return
		}
		for _, k := range d.children(n, m) {
			if !d.name(k, "tier") || !d.room(k, len(w.Limits), MaxTiers, "limits") {
				continue
			}
			l := Limit{Tier: k.name}
			d.text(&l.Bytes)(k, m[k.name])
			w.Limits = append(w.Limits, l)
		}
	}
}

// sources decodes "auto", the name of a source, or a list of names.
func (d *decoder) sources(n *node, v any) {
	if v == "auto" {
		d.cfg.Sampler.Sources = nil
		return
	}
	nodes, list := d.elements(n, v, "a source")
	var sources []Source
	for i, v := range list {
		var s Source
		at := nodes[i]
		switch {
		case v == "auto" && !at.bad:
			d.report(at, at.val, `"auto" stands alone`, `say source = "auto"`)
		case d.decodeText(at, v, &s) && slices.Contains(sources, s):
			d.report(at, at.val, fmt.Sprintf("%s is named twice", quote(string(s))), "")
		}
		n.bad = n.bad || at.bad
		sources = append(sources, s)
	}
	d.cfg.Sampler.Sources = sources
}

// KeyInfo describes a key that a file may have.
type KeyInfo struct {
	Path    string // with NAME, ADDRESS and TIER for names that the author chooses: "tier.NAME.nodes"
	ActedOn bool   // by this version
}

// Keys lists every key that a file may have, in the order of the reference.
func Keys() []KeyInfo {
	d := &decoder{src: newSource("", ""), cfg: Default()}
	var keys []KeyInfo
	var walk func(prefix string, rules []rule)
	walk = func(prefix string, rules []rule) {
		for _, r := range rules {
			path := prefix + r.name
			switch {
			case path == "topology.gpu":
				walk(path+".ADDRESS.", r.each(&node{name: "0000:00:00.0"}))
			case r.each != nil:
				walk(path+".NAME.", r.each(&node{name: "NAME"}))
			case r.table != nil:
				walk(path+".", r.table)
			case r.name == "limit":
				keys = append(keys, KeyInfo{Path: path + ".TIER", ActedOn: true})
			default:
				keys = append(keys, KeyInfo{Path: path, ActedOn: r.later == nil || path == "sampler.source"})
			}
		}
	}
	walk("", d.rules())
	return keys
}
