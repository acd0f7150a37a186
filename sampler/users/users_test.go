package users

import "testing"

const region = 0x7f0000200000

func TestHome(t *testing.T) {
	type vote struct {
		at   float64
		node int
		n    uint32
	}
	tests := []struct {
		name  string
		votes []vote
		at    float64
		want  int // -1: none
	}{
		{"nothing was heard", nil, 0, -1},
		{"from one node", []vote{{0, 1, 5}}, 0, 1},
		{"too little", []vote{{0, 1, 3}}, 0, -1},
		{"a few from elsewhere", []vote{{0, 1, 9}, {0, 0, 1}}, 0, 1},
		{"the few first", []vote{{0, 0, 1}, {0, 1, 9}}, 0, 1},
		{"from two", []vote{{0, 0, 50}, {0, 1, 50}}, 0, -1},
		{"from three", []vote{{0, 0, 30}, {0, 1, 30}, {0, 2, 30}}, 0, -1},
		{"most from one of three", []vote{{0, 0, 5}, {0, 1, 90}, {0, 2, 5}}, 0, 1},
		{"long ago", []vote{{0, 1, 5}}, 60, -1},
		{"its users have moved", []vote{{0, 0, 40}, {90, 1, 40}}, 90, 1},
		{"and have just done so", []vote{{0, 0, 40}, {1, 1, 40}}, 1, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var u Users
			for _, v := range tt.votes {
				u.Hear(region, v.node, v.n, v.at)
			}
			u.Hear(region+1<<21, 3, 1000, tt.at) // another one says nothing of it
			node, ok := u.Home(region, tt.at)
			if !ok {
				node = -1
			}
			if node != tt.want {
				t.Errorf("home is %d, want %d", node, tt.want)
			}
		})
	}
}

// What is not used any more makes room, and what finds none is counted.
func TestBound(t *testing.T) {
	var u Users
	for i := range uint64(maxRegions) {
		u.Hear(i<<21, 0, 10, 1)
	}
	u.Hear(maxRegions<<21, 0, 10, 2)
	if u.Len() != maxRegions || u.Lost() != 10 {
		t.Errorf("%d regions, %d votes lost; want %d and 10", u.Len(), u.Lost(), maxRegions)
	}
	u.Hear(maxRegions<<21, 0, 10, 1000)
	if _, ok := u.Home(maxRegions<<21, 1000); !ok || u.Len() != 1 {
		t.Errorf("%d regions after a long time, want the new one alone", u.Len())
	}
}
