package status

import "errors"

// Question is what an explanation is asked for: a decision, a workload, a process, a
// region of one, or, if all is empty, the last decisions.
type Question struct {
	Decision string // the id
	Workload string
	PID      int
	// Address is in the region; 0 for the whole process.
	Address uint64
	// Limit is how many decisions are wanted at most, up to [MaxDecisions]; 0 for
	// the usual number.
	Limit int
}

// MaxDecisions bounds the decisions of one answer.
const MaxDecisions = 256

// Why a question has no answer.
var (
	// ErrUnknown: what it is about is not there, or not any more.
	ErrUnknown = errors.New("not known")
	// ErrQuestion: it cannot be understood.
	ErrQuestion = errors.New("question is refused")
	// ErrBusy: others are asking; this one may try again.
	ErrBusy = errors.New("busy with the questions of others")
)

// Explanation answers a Question. What does not belong to the question is null or empty.
type Explanation struct {
	SchemaVersion int `json:"schema_version"`
	// About is "decisions", "decision", "region", "process" or "workload".
	About string `json:"about"`
	// Says is the answer in a few sentences, for a person.
	Says string `json:"says"`
	// DecisionsTotal is how many decisions there were since the daemon started, and
	// DecisionsKept how many are remembered.
	DecisionsTotal uint64 `json:"decisions_total"`
	DecisionsKept  int    `json:"decisions_kept"`
	// Decisions are those that it is about, the newest first.
	Decisions []Decision `json:"decisions"`
	// Account is that of the region, process or workload; else null.
	Account *Account `json:"account"`
}
