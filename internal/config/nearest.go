package config

import (
	"strings"

	"github.com/agext/levenshtein"
)

// nearest is the candidate with the least edits to name; "" when there are none.
// Of equals the first wins.
func nearest(name string, candidates []string) string {
	best, least := "", 0
	for _, c := range candidates {
		if edits := levenshtein.Distance(name, c, nil); best == "" || edits < least {
			best, least = c, edits
		}
	}
	return best
}

// nearestKey says what may have been meant by an unknown name in a group; at is
// the group's key with a dot after it, or "". A setting of that very name
// elsewhere is the best guess, as in history_size at the top.
func nearestKey(at, name string, siblings []string) string {
	inside := make([]string, 0, len(siblings))
	for _, s := range siblings {
		inside = append(inside, at+s)
	}
	if strings.Contains(at, "[") { // in a list, where keys are not unique
		return "did you mean " + nearest(at+name, inside) + "?"
	}
	for _, s := range settings(configType) {
		if s.key == name || strings.HasSuffix(s.key, "."+name) {
			return "did you mean " + s.key + "?"
		}
		inside = append(inside, s.key)
	}
	return "did you mean " + nearest(at+name, inside) + "?"
}
