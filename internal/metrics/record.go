package metrics

// recordResults are the label values of tierd_record_frames_total.
func recordResults() []string { return []string{"written", "left_out", "lost"} }

// recordDefinitions are those of [record], and of who records over the control socket.
func recordDefinitions() []Definition {
	return []Definition{
		{"tierd_record_bytes", Gauge, nil, "Size of all recordings in [record] dir together.", func(v *view, emit emitter) {
			emit(float64(v.Record.Bytes))
		}},
		{"tierd_record_errors_total", Counter, nil, "Times that a recording could not be written to [record] dir; tierd status has the last reason.", func(v *view, emit emitter) {
			emit(float64(v.Record.ErrorsTotal))
		}},
		{"tierd_record_failing", Gauge, nil, "1 while nothing can be written to [record] dir; it is tried again at least once a minute.", func(v *view, emit emitter) {
			emit(flag(v.Record.Failing))
		}},
		{"tierd_record_frames_total", Counter, []string{"result"}, "Plans by whether they are in the recordings: written to [record] dir, left out to keep to 1 MiB per hour and tracked GiB, lost because the disk was slow or full.", func(v *view, emit emitter) {
			r := &v.Record
			for i, n := range []uint64{r.FramesTotal, r.LeftOutTotal, r.LostTotal} {
				emit(float64(n), recordResults()[i])
			}
		}},
		{"tierd_record_limit_bytes", Gauge, nil, "The limit of [record] size; 0 while nothing is to be recorded.", func(v *view, emit emitter) {
			if v.Record.Dir == "" {
				emit(0)
				return
			}
			emit(float64(v.Record.SizeBytes))
		}},
		{"tierd_record_listeners", Gauge, nil, "Who records over the control socket now.", func(v *view, emit emitter) {
			emit(float64(v.Record.Listeners))
		}},
		{"tierd_record_listeners_lost_frames_total", Counter, nil, "Plans that those who record over the control socket were too slow for.", func(v *view, emit emitter) {
			emit(float64(v.Record.ListenersLostTotal))
		}},
		{"tierd_record_oldest_timestamp_seconds", Gauge, nil, "When the oldest recording in [record] dir was begun; absent without one.", func(v *view, emit emitter) {
			if at := v.Record.OldestAt; !at.IsZero() {
				emit(float64(at.UnixMilli()) / 1000)
			}
		}},
		{"tierd_record_segments", Gauge, nil, "Recordings in [record] dir.", func(v *view, emit emitter) {
			emit(float64(v.Record.Segments))
		}},
	}
}
