package precise

// A sample costs an interrupt beside the program, whose time is measured.
const interruptSeconds = 2e-6

const (
	// The period changes by no more than maxChange at a time, and not for less than leastChange.
	maxChange, leastChange = 8, 1.25
	longestPeriod          = 1 << 31
	// shortestPeriod is that of units, for which each sample is an interrupt.
	shortestPeriod = 512
)

// steer chooses the next period: such that samples and program cost a share of one processor, given what they have cost in a number of
// seconds with the one until now. It is a multiple of step, and not less than least.
func steer(period, least, step uint64, samples uint64, programSeconds, seconds, share float64) uint64 {
	if !(seconds > 0) || !(share > 0) {
		return period
	}
	by := (programSeconds + float64(samples)*interruptSeconds) / (share * seconds)
	by = min(max(by, 1.0/maxChange), maxChange)
	if by < leastChange && by > 1/leastChange {
		return period
	}
	next := uint64(float64(period) * by)
	next = min(max(next, least), longestPeriod)
	return max(next/step, 1) * step
}
