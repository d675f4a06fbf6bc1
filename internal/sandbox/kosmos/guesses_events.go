package kosmos

import (
	"net/http"
	"time"
)

// What 1Kosmos leaves open about the ingestion of events and about reports (reference 7).

const (
	// How long what callers reported is kept: as far back as reports may ask (documented).
	eventsTTL = 90 * 24 * time.Hour
	// The zone of times in reports is not documented: UTC.
	reportTime = "2006-01-02 15:04:05.000"
	// Rows of a page if nobody says, and at most.
	defaultPage = 100
	maxPage     = 1000
	// Rows that reports which sum up look at.
	maxSummed = 20_000

	// Metrics whose names are published; that both count logins is a guess.
	metricLogins     = "M_C_LOGINS"
	metricSuccessful = "M_GT_SUCCESSFUL_AUTHENTICATIONS"
)

// guessEventTaken is the answer to an event; only that it is a success is certain.
func guessEventTaken(w http.ResponseWriter, id string) {
	writeJSON(w, http.StatusOK, map[string]any{"status": true, "event_id": id})
}

// Refusals that no published answer shows; reports tell theirs as a list (documented).
func badEvent(text string) problem { return problem{http.StatusBadRequest, styleCode, text, ""} }

func badReport(text, param string) problem {
	return problem{http.StatusBadRequest, styleParam, text, param}
}

// Also decided here, in code elsewhere: that pages count from 0 (samples mix 0 and 1);
// that an event with an event_id which is there already is taken and not kept again; that
// reports show E_IDV_ and E_LOGIN_ events of this server beside those of callers, without
// who they are about, for that goes with the session; that the members of the rows of
// reports other than events are those of events, where they have a meaning; that a body
// of reports comes in clear, as in the published collection, and may be sealed as well.
