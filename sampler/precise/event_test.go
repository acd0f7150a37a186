package precise_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/sampler/precise"
)

// core is the unit of an Intel core, by its name and number, with the events that the kernel publishes.
func core(name, number, events string) string {
	dir := "-- sys/bus/event_source/devices/" + name + "/"
	return dir + "type --\n" + number + "\n" +
		dir + "format/event --\nconfig:0-7\n" + dir + "format/umask --\nconfig:8-15\n" + dir + "format/ldlat --\nconfig1:0-15\n" +
		dir + "format/offcore_rsp --\nconfig1:0-63\n" + dir + "format/inv --\nconfig:23\n" + dir + "format/cmask --\nconfig:24-31\n" +
		strings.ReplaceAll(events, "@", dir+"events/")
}

const (
	// arch/x86/events/intel/core.c: EVENT_ATTR_STR of mem-loads and mem-loads-aux.
	classic = "@mem-loads --\nevent=0xcd,umask=0x1,ldlat=3\n@mem-stores --\nevent=0xd0,umask=0x82\n@cycles --\nevent=0x3c\n"
	aux     = "@mem-loads --\nevent=0xcd,umask=0x1,ldlat=3\n@mem-loads-aux --\nevent=0x03,umask=0x82\n@mem-stores --\nevent=0xcd,umask=0x2\n"
	atom    = "@mem-loads --\nevent=0xd0,umask=0x5,ldlat=3\n@mem-stores --\nevent=0xd0,umask=0x6\n"

	others = "-- sys/bus/event_source/devices/software/type --\n1\n-- sys/bus/event_source/devices/tracepoint/type --\n2\n"
)

func TestChoose(t *testing.T) {
	load := func(name string, kind uint32) precise.Event {
		return precise.Event{Name: name + "/event=0xcd,umask=0x1,ldlat=64/", Type: kind, Config: [3]uint64{0x1cd, 64}, PreciseIP: 2, Period: 2003, Step: 1}
	}
	withAux := func(e precise.Event, name string) precise.Event {
		e.Leader = &precise.Event{Name: name + "/event=0x03,umask=0x82/", Type: e.Type, Config: [3]uint64{0x8203}}
		return e
	}
	small := precise.Event{Name: "cpu/event=0xd0,umask=0x5,ldlat=64/", Type: 4, Config: [3]uint64{0x5d0, 64}, PreciseIP: 2, Period: 2003, Step: 1}
	big := withAux(load("cpu_core", 4), "cpu_core")
	big.CPUs = []int{0, 1, 2, 3}
	little := small
	little.Name, little.Type, little.CPUs = "cpu_atom/event=0xd0,umask=0x5,ldlat=64/", 10, []int{4, 5}
	ibs := func(formats, name string, config uint64) (string, precise.Event) {
		dir := "-- sys/bus/event_source/devices/ibs_op/"
		return others + core("cpu", "4", "@cycles --\nevent=0x76\n") + dir + "type --\n9\n" + strings.ReplaceAll(formats, "@", dir+"format/"),
			precise.Event{Name: name, Type: 9, Config: [3]uint64{config}, Period: 0x10000, Step: 16, Scaled: true}
	}
	zen3, zen3Event := ibs("@cnt_ctl --\nconfig:19\n", "ibs_op/cnt_ctl=1/", 1<<19)
	zen4, zen4Event := ibs("@cnt_ctl --\nconfig:19\n@l3missonly --\nconfig:16\n", "ibs_op/cnt_ctl=1,l3missonly=1/", 1<<19|1<<16)
	old, oldEvent := ibs("@rand_en --\nconfig:57\n", "ibs_op//", 0)
	for name, tt := range map[string]struct {
		tree string
		want []precise.Event
	}{
		"Skylake, Ice Lake, Granite Rapids": {core("cpu", "4", classic), []precise.Event{load("cpu", 4)}},
		"Sapphire Rapids, Emerald Rapids":   {core("cpu", "4", aux), []precise.Event{withAux(load("cpu", 4), "cpu")}},
		"Sierra Forest":                     {core("cpu", "4", atom), []precise.Event{small}},
		"two kinds of cores": {core("cpu_core", "4", aux) + "-- sys/bus/event_source/devices/cpu_core/cpus --\n0-3\n" +
			core("cpu_atom", "10", atom) + "-- sys/bus/event_source/devices/cpu_atom/cpus --\n4-5\n", []precise.Event{big, little}},
		"Zen 3":                       {zen3, []precise.Event{zen3Event}},
		"Zen 4":                       {zen4, []precise.Event{zen4Event}},
		"IBS that counts cycles only": {old, []precise.Event{oldEvent}},
	} {
		got, err := precise.Choose(hostfs.New(hostfstest.Unpack(t, others+tt.tree)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestChooseNothing(t *testing.T) {
	const cpuinfo = "-- proc/cpuinfo --\nprocessor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n"
	for name, tt := range map[string]struct{ tree, want string }{
		"a virtual machine":     {others + cpuinfo, "AMD EPYC (AuthenticAMD family 25, model 17) shows no unit that counts, as in a virtual machine"},
		"without PEBS":          {others + core("cpu", "4", "@cycles --\nevent=0x3c\n"), "this processor counts, but tells no addresses"},
		"ARM with SPE":          {others + "-- sys/bus/event_source/devices/arm_spe_0/type --\n9\n", "SPE writes samples where eBPF does not see them"},
		"no perf":               {"-- proc/version --\nx\n", "shows no event sources"},
		"a term that is not":    {core("cpu", "4", "@mem-loads --\nevent=0xcd,odd=0x1\n"), `no term "odd"`},
		"a value that is wide":  {core("cpu", "4", "@mem-loads --\nevent=0x1cd\n"), "does not fit"},
		"a value that is none":  {core("cpu", "4", "@mem-loads --\nevent=many\n"), "bad value"},
		"a type that is none":   {"-- sys/bus/event_source/devices/cpu/type --\nx\n", "cpu/type"},
		"an auxiliary event so": {core("cpu", "4", "@mem-loads --\nevent=0xcd\n@mem-loads-aux --\nodd\n"), `no term "odd"`},
	} {
		events, err := precise.Choose(hostfs.New(hostfstest.Unpack(t, tt.tree)))
		var u *precise.Unavailable
		if events != nil || !errors.As(err, &u) || u.Hint == "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, error %v, want one that says %q", name, events, err, tt.want)
		}
	}
}
