package hintfault

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// kernel is the types of one that has a function with these parameters.
func kernel(t *testing.T, name string, params ...btf.Type) *btf.Spec {
	t.Helper()
	proto := &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}
	for _, p := range params {
		proto.Params = append(proto.Params, btf.FuncParam{Name: "p", Type: p})
	}
	b, err := btf.NewBuilder([]btf.Type{&btf.Func{Name: name, Type: proto, Linkage: btf.StaticFunc}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestHookOfEachKernel(t *testing.T) {
	to := func(name string) btf.Type { return &btf.Pointer{Target: &btf.Struct{Name: name}} }
	number := &btf.Int{Name: "unsigned long", Size: 8}
	for _, test := range []struct {
		name     string
		function string
		params   []btf.Type
		want     string
	}{
		{"6.1", "numa_migrate_prep", []btf.Type{to("page"), to("vm_area_struct"), number, number, number}, hintProgPrepared},
		{"6.10", "numa_migrate_prep", []btf.Type{to("folio"), to("vm_fault"), number, number, number}, hintProgPreparedFault},
		{"6.12", "numa_migrate_check", []btf.Type{to("folio"), to("vm_fault"), number, number, number, number}, hintProgChecked},
		{"inlined", "do_numa_page", []btf.Type{to("vm_fault")}, ""},
		{"others instead", "numa_migrate_check", []btf.Type{to("folio"), number, number, number, number, number}, ""},
		{"fewer", "numa_migrate_check", []btf.Type{to("folio"), to("vm_fault")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := hookOf(kernel(t, test.function, test.params...))
			var u *Unavailable
			if got != test.want || (err == nil) != (test.want != "") || err != nil && (!errors.As(err, &u) || u.Hint == "") {
				t.Errorf("program %q, error %v; want %q", got, err, test.want)
			}
		})
	}
}
