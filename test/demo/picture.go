package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	plottext "gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The picture's size; at vgimg's 96 dots per inch 1152 × 576 pixels.
const (
	pictureWidth  = 12 * vg.Inch
	pictureHeight = 6 * vg.Inch
	legendWidth   = 1.6 * vg.Inch
)

// seconds puts a mark every ten seconds.
type seconds struct{}

// Ticks implements [plot.Ticker].
func (seconds) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for t := 0.0; t <= high; t += 10 {
		if t >= low {
			out = append(out, plot.Tick{Value: t, Label: fmt.Sprintf("%.0f", t)})
		}
	}
	return out
}

// picture draws the shares of the tiers over time, one upon the other, the oracle's share of the fast ones, and what happened
// when, as a PNG.
func picture(s *story) ([]byte, error) {
	p := plot.New()
	p.Title.Text = "Which tier serves the accesses: tierd in the emulated machine"
	if s.release != "" {
		p.Title.Text += ", Linux " + s.release
	}
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = "seconds"
	p.Y.Label.Text = "share of the accesses"
	p.X.Min, p.X.Max = 0, max(s.total, s.at(s.last()))
	p.Y.Min, p.Y.Max = 0, 1.08 // the names of events stand above
	p.Y.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 0.25}, {Value: 0.5, Label: "0.5"}, {Value: 0.75}, {Value: 1, Label: "1"}}
	p.X.Tick.Marker = seconds{}
	// The legend has a place of its own, beside the plot.
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.Padding = vg.Points(4)

	below := make([]float64, len(s.samples))
	for _, tier := range tiers {
		lower, upper := make(plotter.XYs, len(s.samples)), make(plotter.XYs, len(s.samples))
		for i := range s.samples {
			sample := &s.samples[i]
			x := s.at(sample)
			lower[len(lower)-1-i] = plotter.XY{X: x, Y: below[i]}
			below[i] += sample.Load.Share[tier.node]
			upper[i] = plotter.XY{X: x, Y: below[i]}
		}
		band, err := plotter.NewPolygon(append(upper, lower...))
		if err != nil {
			return nil, err
		}
		band.Color = color.RGBA{R: tier.rgb[0], G: tier.rgb[1], B: tier.rgb[2], A: 255}
		band.LineStyle.Width = 0
		p.Add(band)
		legend.Add(tier.name, band)
	}

	var best plotter.XYs
	for i := range s.samples {
		if _, oracle := fast(&s.samples[i]); oracle > 0 {
			best = append(best, plotter.XY{X: s.at(&s.samples[i]), Y: oracle})
		}
	}
	if len(best) > 1 {
		l, err := plotter.NewLine(best)
		if err != nil {
			return nil, err
		}
		l.Width, l.Dashes = vg.Points(1.5), []vg.Length{vg.Points(6), vg.Points(3)}
		p.Add(l)
		legend.Add("best possible", l)
	}

	var names plotter.XYLabels
	for _, e := range s.events() {
		if e.mark == "" {
			continue
		}
		l, err := plotter.NewLine(plotter.XYs{{X: e.at, Y: 0}, {X: e.at, Y: 1.07}})
		if err != nil {
			return nil, err
		}
		l.Width = vg.Points(1)
		p.Add(l)
		names.XYs = append(names.XYs, plotter.XY{X: e.at, Y: 1.025})
		names.Labels = append(names.Labels, e.mark)
	}
	if len(names.XYs) > 0 {
		labels, err := plotter.NewLabels(names)
		if err != nil {
			return nil, err
		}
		for i := range labels.TextStyle {
			labels.TextStyle[i].XAlign = plottext.XLeft
		}
		labels.Offset = vg.Point{X: vg.Points(5)}
		p.Add(labels)
	}

	canvas := vgimg.New(pictureWidth, pictureHeight)
	all := draw.New(canvas)
	p.Draw(draw.Crop(all, vg.Points(6), -legendWidth, vg.Points(6), -vg.Points(6)))
	legend.Draw(draw.Crop(all, pictureWidth-legendWidth+vg.Points(12), 0, 0, -vg.Points(48)))
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// writePicture puts the picture into a file, and makes its folder.
func writePicture(path string, s *story) error {
	data, err := picture(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
