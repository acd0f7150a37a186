package main

import (
	"bytes"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/tierd/tierd/internal/sim"
)

// runsPicture draws hit ratio above moved bytes over time, means of the runs, as a
// PNG.
func runsPicture(workload string, sums []sim.Summary) ([]byte, error) {
	hit, moved := plot.New(), plot.New()
	hit.Title.Text = "tierd simulate: " + workload
	hit.Y.Label.Text, hit.Y.Min, hit.Y.Max = "hit ratio", 0, 1
	moved.X.Label.Text, moved.Y.Label.Text = "seconds", "moved, GiB"
	hit.Legend.Left, hit.Legend.Top = false, false
	for i := range sums {
		runs := sums[i].Runs
		var hits, gibs plotter.XYs
		for k := range runs[0].Points {
			var share, bytes float64
			for _, r := range runs {
				share += r.Points[k].Share[0] / float64(len(runs))
				bytes += float64(r.Points[k].Moved) / float64(len(runs))
			}
			x := runs[0].Points[k].Seconds
			hits = append(hits, plotter.XY{X: x, Y: share})
			gibs = append(gibs, plotter.XY{X: x, Y: bytes / (1 << 30)})
		}
		if len(hits) == 0 {
			continue
		}
		for p, points := range map[*plot.Plot]plotter.XYs{hit: hits, moved: gibs} {
			l, err := plotter.NewLine(points)
			if err != nil {
				return nil, err
			}
			l.Color, l.Width = plotutil.Color(i), vg.Points(1.5)
			p.Add(l)
			if p == hit {
				p.Legend.Add(sums[i].Contender, l)
			}
		}
	}
	canvas := vgimg.New(10*vg.Inch, 8*vg.Inch)
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadY: vg.Points(12)}
	grid := plot.Align([][]*plot.Plot{{hit}, {moved}}, tiles, draw.New(canvas))
	hit.Draw(grid[0][0])
	moved.Draw(grid[1][0])
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
