//go:build vm

package vm_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/vm"
)

func list(env, otherwise string) []string {
	if v := os.Getenv(env); v != "" {
		otherwise = v
	}
	return strings.Split(otherwise, ",")
}

// TestGuest runs every guest test of the module on each kernel, with each depth of the page tables, and reports each
// as a subtest. The environment's TIERD_VM_KERNELS and TIERD_VM_LEVELS are comma lists that select.
func TestGuest(t *testing.T) {
	t.Chdir("../..")
	suite, err := vm.BuildSuite(t.Context(), t.TempDir(), os.Getenv("TIERD_VM_RUN"), "./...")
	if err != nil {
		t.Fatal(err)
	}
	for _, kernel := range list("TIERD_VM_KERNELS", vm.DefaultKernel) {
		for _, levels := range list("TIERD_VM_LEVELS", "5,4") {
			t.Run("kernel"+kernel+"/levels"+levels, func(t *testing.T) {
				if levels != "4" && levels != "5" {
					t.Fatalf("TIERD_VM_LEVELS: %q is neither 4 nor 5", levels)
				}
				m := vm.ThreeTier()
				m.Kernel, m.LA57 = kernel, levels == "5"
				results, err := suite.Run(t.Context(), m, nil)
				for _, p := range results {
					passed, failed, skipped := p.Counts()
					t.Logf("%s: %d passed, %d failed, %d skipped in %v", p.Package, passed, failed, skipped, p.Wall.Round(time.Millisecond))
				}
				for _, p := range results {
					t.Run(p.Package, func(t *testing.T) { report(t, p) })
				}
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func report(t *testing.T, p vm.PackageResult) {
	for _, r := range p.Tests {
		t.Run(r.Name, func(t *testing.T) {
			if r.Output != "" {
				t.Log("\n" + r.Output)
			}
			if problem := r.Problem(); problem != "" {
				t.Fatal(problem)
			}
			if r.Outcome == vm.Skip {
				t.SkipNow()
			}
		})
	}
	if p.Err != nil {
		t.Errorf("%v\n%s", p.Err, p.Output)
	}
}
