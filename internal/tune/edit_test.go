package tune_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/tune"
)

func proposal(t interface{ Fatalf(string, ...any) }, name, to string) tune.Proposal {
	k, ok := tune.KeyOf(name)
	if !ok {
		t.Fatalf("no key %s", name)
	}
	return tune.Proposal{Key: k, To: to}
}

func TestEdit(t *testing.T) {
	for _, test := range []struct {
		name, text, want, diff string
	}{
		{
			"no file", "", "[thrash]\nseparation = 3\n",
			"--- /dev/null\n+++ t.toml\n@@ -0,0 +1,2 @@\n+[thrash]\n+separation = 3\n",
		},
		{
			"the key is there, with a comment", "mode = \"observe\"\n\n[thrash]\nseparation = 2.5 # as ever\npayback = 2\n",
			"mode = \"observe\"\n\n[thrash]\nseparation = 3 # as ever\npayback = 2\n",
			"--- t.toml\n+++ t.toml\n@@ -1,5 +1,5 @@\n mode = \"observe\"\n \n [thrash]\n-separation = 2.5 # as ever\n+separation = 3 # as ever\n payback = 2\n",
		},
		{
			"the table is there", "[thrash] # limits\npayback = 2\n[metrics]\n",
			"[thrash] # limits\nseparation = 3\npayback = 2\n[metrics]\n",
			"--- t.toml\n+++ t.toml\n@@ -1,3 +1,4 @@\n [thrash] # limits\n+separation = 3\n payback = 2\n [metrics]\n",
		},
		{
			"a dotted key", "thrash.separation = 2\n", "thrash.separation = 3\n",
			"--- t.toml\n+++ t.toml\n@@ -1,1 +1,1 @@\n-thrash.separation = 2\n+thrash.separation = 3\n",
		},
		{
			"no end of line", "[thrash]\nseparation = 2", "[thrash]\nseparation = 3\n",
			"--- t.toml\n+++ t.toml\n@@ -1,2 +1,2 @@\n [thrash]\n-separation = 2\n\\ No newline at end of file\n+separation = 3\n",
		},
		{
			"the same name in another table", "[workload.a]\nuid = 1\n\n[migrate]\nrate = \"1GiB/s\"\n",
			"[workload.a]\nuid = 1\n\n[migrate]\nrate = \"1GiB/s\"\n\n[thrash]\nseparation = 3\n",
			"--- t.toml\n+++ t.toml\n@@ -3,3 +3,6 @@\n \n [migrate]\n rate = \"1GiB/s\"\n+\n+[thrash]\n+separation = 3\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			edited, diff, err := tune.Edit("t.toml", test.text, []tune.Proposal{proposal(t, "separation", "3")})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, edited); d != "" {
				t.Errorf("text (-want +got):\n%s", d)
			}
			if d := cmp.Diff(test.diff, diff); d != "" {
				t.Errorf("difference (-want +got):\n%s", d)
			}
		})
	}
}

// What cannot be edited line by line is refused, not made wrong.
func TestEditRefuses(t *testing.T) {
	for _, text := range []string{
		"thrash = { separation = 2 }\n",
		"[thrash]\n\"separation\" = 2\n",
		"[ thrash . x ]\n",
	} {
		if edited, _, err := tune.Edit("t.toml", text, []tune.Proposal{proposal(t, "separation", "3")}); !errors.Is(err, tune.ErrLayout) {
			t.Errorf("%q: %v, became %q", text, err, edited)
		}
	}
}

// Whatever a file has, the difference applied to it is the edited text, and that has the
// proposed values and all others as before.
func TestDifferenceApplies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		for _, table := range rapid.Permutation([]string{"thrash", "migrate", "sampler", "metrics"}).Draw(t, "tables") {
			lines = append(lines, strings.Repeat("\n", rapid.IntRange(0, 4).Draw(t, "blank"))+"["+table+"]")
			for _, key := range map[string][]string{
				"thrash":  {"separation = 2 # x", "payback=4", "  breaker = \"40%\"", "# window = \"1s\""},
				"migrate": {"rate = \"1GiB/s\"", "batch_latency = \"10ms\""},
				"sampler": {"cpu_budget = \"3%\""},
			}[table] {
				if rapid.Bool().Draw(t, "key") {
					lines = append(lines, key)
				}
			}
		}
		text := strings.Join(lines, "\n")
		if rapid.Bool().Draw(t, "end") {
			text += "\n"
		}
		before, err := config.Parse("t.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var ps []tune.Proposal
		values := map[string]string{"separation": "3.3", "payback": "1.7", "window": `"20s"`, "rate": `"512MiB/s"`}
		for name, v := range values {
			if rapid.Bool().Draw(t, name) {
				ps = append(ps, proposal(t, name, v))
			}
		}
		edited, diff, err := tune.Edit("t.toml", text, ps)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := patch(text, diff); err != nil || got != edited {
			t.Fatalf("%v\n%s\nto\n%s\nby\n%s", err, text, got, diff)
		}
		after, err := config.Parse("t.toml", []byte(edited))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range tune.Keys() {
			want := k.Text(before)
			for _, p := range ps {
				if p.Key.Name == k.Name {
					want = p.To
				}
			}
			if got := k.Text(after); got != want {
				t.Fatalf("%s is %s, want %s", k, got, want)
			}
		}
	})
}

// patch applies a unified difference.
func patch(text, diff string) (string, error) {
	old := strings.SplitAfter(text, "\n")
	if old[len(old)-1] == "" {
		old = old[:len(old)-1]
	}
	var out strings.Builder
	at := 0
	for l := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(l, "---"), strings.HasPrefix(l, "+++"), strings.HasPrefix(l, `\`):
		case strings.HasPrefix(l, "@@"):
			first, count, _ := strings.Cut(strings.TrimPrefix(strings.Fields(l)[1], "-"), ",")
			n, err := strconv.Atoi(first)
			if err != nil {
				return "", err
			}
			if count != "0" {
				n--
			}
			for ; at < n; at++ {
				out.WriteString(old[at])
			}
		case l[0] == '+':
			out.WriteString(l[1:])
		default:
			if at >= len(old) || strings.TrimSuffix(old[at], "\n") != strings.TrimSuffix(l[1:], "\n") {
				return "", fmt.Errorf("line %d is not %q", at+1, l)
			}
			if l[0] == ' ' {
				out.WriteString(old[at])
			}
			at++
		}
	}
	for ; at < len(old); at++ {
		out.WriteString(old[at])
	}
	return out.String(), nil
}
