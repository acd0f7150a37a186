package status

import "time"

// Errors keeps the most recent errors. It belongs to one goroutine.
type Errors struct{ list []Error }

// Add notes an error; a repetition of one that is still there raises its count.
func (e *Errors) Add(now time.Time, err Error) {
	err.Time, err.Count = now, 1
	for i, old := range e.list {
		if old.Workload == err.Workload && old.PID == err.PID && old.Message == err.Message {
			err.Count += old.Count
			e.list = append(e.list[:i], e.list[i+1:]...)
			break
		}
	}
	if len(e.list) == MaxErrors {
		e.list = append(e.list[:0], e.list[1:]...)
	}
	e.list = append(e.list, err)
}

// List returns a copy, the newest last.
func (e *Errors) List() []Error { return append([]Error{}, e.list...) }
