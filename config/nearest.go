package config

import "strings"

// nearest returns the name that is most like s, or "" if none is close enough
// to be what was meant.
func nearest(s string, names []string) string {
	best, most := "", max(1, len(s)/3)+1
	for _, name := range names {
		if strings.EqualFold(s, name) {
			return name
		}
		if d := distance(s, name, most); d < most {
			best, most = name, d
		}
	}
	return best
}

// distance is Levenshtein's, in bytes, or limit where it is at least that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
