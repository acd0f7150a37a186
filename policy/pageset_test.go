package policy

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPageSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.Uint32().Draw(t, "pieces")
		other := PageSet{}
		for _, p := range rapid.SliceOf(rapid.IntRange(0, PagesPerRegion-1)).Draw(t, "pages") {
			other.Add(p)
		}
		set := PagesOf(pieces)
		both, one, n := set.And(other), set.Without(other), 0
		for p := range PagesPerRegion {
			in := pieces>>(p/PagesPerPiece)&1 != 0
			if set.Has(p) != in || both.Has(p) != (in && other.Has(p)) || one.Has(p) != (in && !other.Has(p)) {
				t.Fatalf("page %d of %#x and %#x", p, pieces, other)
			}
			if in {
				n++
			}
		}
		if set.Count() != n {
			t.Fatalf("%d pages in %#x, want %d", set.Count(), pieces, n)
		}
	})
	if PagesOf(AllPieces) != AllPages() {
		t.Error("all pieces are not all pages")
	}
}
