package sampler

import (
	"math"
	"testing"
)

// several is what a batch of so many regions saw.
func several(n int, off float64) (list []float64) {
	for range n {
		list = append(list, off)
	}
	return list
}

func TestPaceOfOneBatchIsNews(t *testing.T) {
	var p pace
	v := p.judge(several(20, -2), 10, 9, 1)
	if !v.news || !v.alone || v.pace != 1 {
		t.Errorf("%+v", v)
	}
	// Its own repeated look is no witness.
	if v = p.judge(several(20, -2), 10.1, 10, 1); !v.news || !v.alone {
		t.Errorf("second look: %+v", v)
	}
}

func TestPaceIsWhatBatchesShare(t *testing.T) {
	var p pace
	p.judge(several(20, -1), 10, 9, 1)
	p.judge(several(20, -1.1), 10.1, 9.1, 2)
	v := p.judge(several(20, -1.2), 10.2, 9.2, 3)
	if v.news || math.Abs(math.Log(v.pace)+paceBelief) > 0.1 {
		t.Errorf("%+v, want a pace of about exp(-0.9)", v)
	}
	// A second later nothing of it counts.
	if v = p.judge(several(20, -0.3), 12, 11, 4); v.pace != 1 || !v.alone || math.Abs(v.noise-0.09) > 1e-6 {
		t.Errorf("later: %+v", v)
	}
}

// Where other regions become hotter meanwhile the process does not wait.
func TestShiftIsNoPause(t *testing.T) {
	var p pace
	p.judge(several(20, -4), 10, 9, 1)
	p.judge(append(several(2, 0.1), 3, 3), 10.1, 9.1, 2)
	if v := p.judge(several(20, -4), 10.2, 9.2, 3); !v.news || v.pace != 1 {
		t.Errorf("%+v", v)
	}
}

func TestPaceIsBounded(t *testing.T) {
	var p pace
	p.judge(several(20, 5), 10, 9, 1)
	if v := p.judge(several(20, 5), 10.1, 9.1, 2); v.pace > fastestPace {
		t.Errorf("%+v", v)
	}
	p = pace{}
	p.judge(several(20, -9), 10, 9, 1)
	if v := p.judge(several(20, -9), 10.1, 9.1, 2); v.pace < slowestPace {
		t.Errorf("%+v", v)
	}
	if v := p.judge(nil, 10.2, 9.2, 3); v.pace != 1 || v.news {
		t.Errorf("without regions to compare: %+v", v)
	}
}
