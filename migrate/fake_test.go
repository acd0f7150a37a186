package migrate_test

import (
	"testing"

	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/migrate/migratetest"
	"github.com/tierd/tierd/policy"
)

// The nodes of the models: slot 0 is slow, slot 1 fast.
const (
	slow policy.NodeID = 2
	fast policy.NodeID = 1
)

const base = 64 * policy.RegionSize

var slots = []policy.NodeID{slow, fast}

// model makes a migratetest.Machine a migratetest.Host.
type model struct{ m *migratetest.Machine }

func (h model) Pager() migrate.Pager                  { return h.m }
func (h model) Room() migrate.Room                    { return h.m }
func (h model) Nodes() (policy.NodeID, policy.NodeID) { return slow, fast }

func (h model) Start(t *testing.T, pages int) migratetest.Subject {
	p := h.m.Spawn(1000)
	p.Populate(base, pages, slow)
	return subject{p}
}

type subject struct{ *migratetest.Process }

func addr(page int) uintptr { return base + uintptr(page)*policy.PageSize }

func (s subject) Base() uintptr                { return base }
func (s subject) Drop(_ *testing.T, page int)  { s.Process.Drop(addr(page)) }
func (s subject) Pin(_ *testing.T, page int)   { s.Process.Pin(addr(page), true) }
func (s subject) Share(_ *testing.T, page int) { s.Process.Share(addr(page), true) }
func (s subject) Confine(*testing.T)           { s.Process.Confine(slow) }
func (s subject) Exit(*testing.T)              { s.Process.Exit() }
func (s subject) Exec(*testing.T)              { s.Process.Exec() }

func newMachine() *migratetest.Machine {
	return migratetest.NewMachine(map[policy.NodeID]int{slow: 1 << 20, fast: 1 << 20})
}

func TestConformanceOfModel(t *testing.T) {
	for name, fault := range map[string]bool{"6.1": true, "6.12": false} {
		t.Run(name, func(t *testing.T) {
			migratetest.Conformance(t, func(*testing.T) migratetest.Host {
				m := newMachine()
				m.AbsentIsFault = fault
				return model{m}
			})
		})
	}
}
