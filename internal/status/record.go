package status

import "time"

// Record is how the recording of what the policy sees stands.
type Record struct {
	// Dir is that of [record]; "" while nothing is recorded to disk.
	Dir          string `json:"dir"`
	SizeBytes    uint64 `json:"size_bytes"`    // the limit of all segments together
	SegmentBytes uint64 `json:"segment_bytes"` // when a new one is begun
	// Bytes and Segments are in the directory now.
	Bytes    uint64    `json:"bytes"`
	Segments int       `json:"segments"`
	OldestAt time.Time `json:"oldest_at,omitzero"` // when the oldest segment was begun
	// Failing says that nothing can be written for now; it is tried again and again.
	Failing     bool      `json:"failing"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	ErrorsTotal uint64    `json:"errors_total"`
	// Plans by what became of them: written to disk; left out to keep to 1 MiB per hour and tracked GiB; lost because
	// the disk was too slow or did not take them.
	FramesTotal  uint64 `json:"frames_total"`
	LeftOutTotal uint64 `json:"left_out_total"`
	LostTotal    uint64 `json:"lost_total"`
	// Listeners record over the control socket; they were too slow for so many plans.
	Listeners          int    `json:"listeners"`
	ListenersLostTotal uint64 `json:"listeners_lost_total"`
}
